"""Measurements of Puna against llama-server, over HTTP, on the same machine in the same run: `python -m bench --help`.

__main__.py     arguments, the run, what is printed and kept
cases.py        the cases: one row each
servers.py      the two servers behind one interface: start, load a model, one request
load.py         the client: many streams at once, times of first and last token
startup.py      process start to first answer, memory of an idle server
peer.py         builds llama-server once, from the sources that llama-cpp-python carries
random_model.py writes models of real shapes with random weights (speed does not depend on their values)
report.py       medians, ratios, the table, the JSON file
"""
