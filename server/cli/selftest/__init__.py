"""`puna selftest`: each capability of a running server, tried with a real model.

`command.py` chooses the server and prints the table; `checking.py` says what a check is and has the words to ask with;
`text.py`, `models.py` hold the checks, `table.py` lists them in order; `spawning.py` starts a server for the occasion,
`embedder.py` makes an embedding model.
"""
