"""Go's text/template, the language of Ollama's TEMPLATE layers: text → tokens → nodes → output.

* `lexer.py`, `parser.py`, `nodes.py`: a template as a tree; every token and node knows its position.
* `interpreter.py`: renders a tree. `values.py`: Go's view of Python values. `functions.py`, `comparison.py`,
  `printing.py`, `printf.py`: what a template can call, and how values print.
* `chat_values.py`: messages, calls and tools as templates see them.
* `analysis.py`: which variables and tags a template uses, without rendering it.
"""
