"""One child process per loaded model: `messages.py` is the language, with the terms of `settings.py`, `process.py`
the parent, `worker.py` the child.

The parent starts and kills its child with `child.py`. Its end of the socket is `link.py`, with a `mailbox.py` for each
request; the child's is `courier.py`, with an `outbox.py` before it. In the child, `loading.py` makes the engine, for a
context that `layout.py` lays out, and `desk.py` gives it its work, which is prepared in `lanes.py`.
"""
