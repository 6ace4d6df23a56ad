"""Ollama's own API, `/api/…`.

One file per resource: `generate.py`, `chat.py`, `embed.py`; `models.py` (list, show, ps, copy, delete), `blobs.py`,
`create.py`, `transfer.py` (pull, push), `status.py` (state, account, cloud). `schema.py` declares the bodies,
`translate.py` makes internal requests of them, `replies.py` writes events, `progress.py` writes progress.
"""
