"""Models: what a GGUF says, how a prompt is built, how a runner computes, how its output becomes a message.

* `gguf/`, `library.py`, `show.py`, `capabilities.py`, `modelfile.py`, `create/`: a model as files and metadata.
* `options.py`, `memory.py`: what a request asks of the engine, and what that costs.
* `templates/`, `parsers/`: messages to prompt text, generated text to messages.
* `runner/`: the child process of one loaded model; `llama/`, `engine/`, `sampling/` run inside it only.
* `builtin/`: the model that travels with the package.
"""
