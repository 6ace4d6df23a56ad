"""Safetensors into GGUF: a model as its authors publish it becomes one file that llama.cpp loads.

The work runs in a child process, `python -m models.create.convert.worker`: it takes minutes, its input is foreign, and
the server must neither wait nor fall. Read in this order:

* `conversion.py` the parent's side: files in, a layer out; `worker.py` the child.
* `plan.py` what the new file will have, decided before anything is written; `output.py` writes it and hashes.
* `checkpoint.py` the files of a model; `config.py`, `safetensors.py` read them; `general.py`, `keys.py` the metadata.
* `architectures/` what differs between models, `naming.py` what tensors are called, `vocabulary/` tokenizers.
* `adapter.py` adapters, `base_config.py` what the file of their model tells, `low_rank.py` their pairs of matrices.
* `tensors.py`, `numbers.py` tensors that are read and changed only when written; `experts.py`, `eight_bits.py`.
"""
