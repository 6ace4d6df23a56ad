"""The HTTP server: from a socket to the answers of Ollama's API.

Start at `serving.py` (bind, serve, end) and `app.py` (which routes there are, who owns what). A request passes
`transport/` (routing, CORS, host check, bodies), one route of `routes/`, then `generation.py` → `scheduler.py` →
`models.runner`. `settings.py` is the only reader of the environment, `errors.py` the only place with statuses,
`streaming.py` the only writer of streams; `json_decoding/` reads request bodies as Go would. `cli/` is the command
`puna`, which speaks to all this over HTTP only.
"""
