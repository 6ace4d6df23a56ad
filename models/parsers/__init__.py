"""From generated text to a message: content, thinking, tool calls.

* `events.py`: what parsers give, and the protocol they share. `text.py`: whitespace and hold-back.
* `thinking.py`, `tools.py`: for models with a Go template, whose tags were inferred from it.
* `native.py` (with `reasoning.py`, `json_calls.py`, `syntax.py`): for models with a chat template of their own.
* `repetition.py`: the guard against a model that is stuck.
"""
