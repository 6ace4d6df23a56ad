"""JSON bodies as Go's encoding/json reads them, with its leniency and its error texts.

`parse.py` turns bytes into nodes (fast for good input; what it refuses goes through `syntax.py`, a port of Go's scanner
that knows the exact text). `kinds.py` decodes nodes into dataclasses whose fields name their Go types, which stand in
`scalars.py` and `containers.py`. `binary.py` is Go's base64, `errors.py` what can go wrong. Nothing here knows an API.
"""
