"""GGUF files: what they hold, read without their tensors, and written.

* `values.py`: the types of a file's metadata, tensors and of the file itself.
* `reader.py`: `read_gguf`, which believes nothing that it has not checked against the file.
* `names.py`: the names Ollama gives to types and sizes.
* `writer.py`: `write_gguf`, for files that are put together from others.
"""
