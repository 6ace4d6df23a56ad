"""The command `puna`: everything a person types, spoken to the server over HTTP only.

Read from `main.py` (arguments → command → exit status). `commands.py` is the table of all commands; each row names a
module here with `run(client, args, out) -> int`. `flags.py` and `help.py` parse and describe arguments; `client.py` is
the only HTTP, one method per endpoint. What is shown is made by pure functions in `formats.py`, `tables.py`,
`wrapping.py`; terminals are handled in `terminal.py` and `progress.py`. `repl/` holds the interactive chat, `selftest/`
the checks of `puna selftest`.
"""
