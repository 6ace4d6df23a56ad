"""What a request passes before its route, in pure ASGI: fast, and without a framework.

`gate.py` is the outermost application and joins the rest: `routing.py` (which path exists, redirects, 404 and 405),
`origins.py` (CORS), `hosts.py` (the Host check), `access_log.py`. `answers.py` are complete answers, `handover.py` lets
streams go on without the application around them, `bodies.py` reads request bodies within a limit, `protocol.py` is
HTTP itself: uvicorn's parser with limits of our own.
"""
