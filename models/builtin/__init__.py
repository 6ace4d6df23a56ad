"""The built-in model `pico`: its file, and how it gets into a store.

* `pico.gguf` the model, trained from scratch by `tools/pico` in the repository; `licence.txt` its licence.
* `install.py` puts it into a store like any pulled model.
"""
