"""Measurements of Puna against llama-server, over HTTP, on the same machine in the same run: `python -m bench --help`.

__main__.py     arguments, the run, what is printed and kept
cases.py        the cases: one row each
workloads.py    what a round of each kind of case does and measures
servers.py      the two servers behind one interface: start, load a model, one request
load.py         the client: many streams at once, times of first and last token
startup.py      process start to first answer, memory of an idle server
pull.py         pulls from a registry on this machine: `python -m bench.pull --help`; file_registry.py is that registry
streams.py      the path from engine to client alone: `python -m bench.streams --help`; scripted.py is engine and server
peer.py         builds llama-server once, from the sources that llama-cpp-python carries
offline.py      carries it all to a machine without a network: `python -m bench.offline --help`
machine.py      what figures belong to: machine, checkout, how llama.cpp was compiled
profile.py      where the time of a burst goes: `python -m bench.profile --help`
steps.py        llama.cpp's own part of the work: `python -m bench.steps --help`; decodes.py measures it
sampling.py     what choosing a token costs: `python -m bench.sampling`; chances.py: whether each has its chance
llama_chain.py  llama.cpp's own sampler chain, what chances.py compares with
llama_chain.py  llama.cpp's own samplers, which ours are compared with
random_model.py writes models of real shapes with random weights (speed does not depend on their values)
report.py       medians, ratios, the table, the JSON file
"""
