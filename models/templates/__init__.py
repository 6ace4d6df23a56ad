"""From a chat to the text of a prompt.

* `chat.py`: messages, tools, thinking as they arrive. `errors.py`, `limits.py`: what may go wrong, what may be spent.
* `render.py`: the entry. `source.py`: which of a model's templates serves. `truncation.py`: which messages are dropped.
* `jinja.py` (on `sandbox.py`), `native.py`, `probe.py`, `families.py`: a GGUF's own chat template.
* `go/`: the template language of Ollama's models; `analysis.py` says what such a template uses.
* `renderers/`: prompts that are written in code, by name.
"""
