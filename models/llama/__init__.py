"""llama.cpp behind typed handles: the only package that imports llama_cpp, and only in child processes.

binding.py   the low-level functions, without the binding's high-level package
folder.py    where their libraries lie              repacking.py   whether weights are copied into another layout
kernels/     C++ that takes the place of some of llama.cpp's own, compiled with it (kernels.cmake)
logs.py      llama.cpp's log lines → logging, the last errors kept, buffer sizes counted
model.py     a loaded model and its facts          vocab.py    text ↔ tokens, token → piece
adapters.py  its LoRA adapters, read when needed    adapter_files.py   those that would end the process
probe.py     those that come to no numbers
context.py   a context: decode, logits, memory     batch.py    the arrays of one llama_decode call
embedder.py  a context that pools                  threads.py  how many threads a model should use
runs.py      texts cut so that no tokenizer recurses too deep    outcome.py  how a decode ended
chain.py     llama.cpp's own sampler chains         media.py    images and sounds through a projector
backend_sampler.py   chains that pick tokens inside the graph           backend_trial.py   whether that is faster
quantize.py  one GGUF file in, another out          openmp.py   how long its threads wait for each other, awake
"""
