"""What clients call. Each dialect is a package that translates to one internal request and from one stream of events.

`native/` is Ollama's own API, `openai/` and `anthropic/` are what other programs speak; they do not import each other.
Shared by all: `incoming.py` (bodies), `values.py`, `tools.py`, `checks.py` (fields), `events.py`, `cuts.py` (replies).
Shared by what is under /v1: `v1.py` (bodies, errors, framing), `compression.py`, `extras.py` (fields of our own).
"""
