"""The API's dialects, one package each; `incoming.py` is what their routes share: bodies, and the parts they call."""
