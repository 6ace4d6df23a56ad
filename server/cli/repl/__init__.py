"""The interactive chat of `puna run`.

`loop.py` reads, decides, acts; `composing.py` makes messages of lines (pure); `commands.py` has the table of slash
commands, `variables.py` that of `/set`, `showing.py` that of `/show`, `help.py` their descriptions; `keyboard.py` is
the line editor and the only importer of prompt_toolkit; `history.py` keeps what was typed;
`interrupts.py` lets Ctrl-C end a reply and nothing else.
"""
