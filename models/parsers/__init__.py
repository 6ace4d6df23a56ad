"""From generated text to a message: content, thinking, tool calls.

* `events.py`: what parsers give, and the protocol they share. `text.py`: whitespace and hold-back.
* `thinking.py`, `tools.py`: for models with a Go template, whose tags were inferred from it.
* `native.py`: for models with a chat template of their own. `syntax.py` names the forms, `reasoning.py` reads thoughts,
  `wrappers.py` drops what stands around answers, `call_blocks.py` finds calls, which `json_calls.py`,
  `named_calls.py`, `body_calls.py`, `python_code.py` read (with `json_blocks.py`); `native_harmony.py` is for gpt-oss.
* `table.py`: the built-in parsers by name, each in the module of its family. What they share: `steps.py` (protocol,
  way into a stream), `state_machine.py` and `machine.py` (a buffer and states), `json_values.py`,
  `typed_values.py`, `python_calls.py`, `balanced.py` (values that a model wrote).
* `call_grammar.py`: what a reply must match that has to be a call; the forms in `body_grammar.py`, `gemma_grammar.py`,
  `atem_grammar.py`, put together with `lark.py`. `known_calls.py`: how families of models write calls.
* `repetition.py`: the guard against a model that is stuck.
"""
