"""Continuous batching: many sequences, computed together, one step after the other.

loop.py       Engine: admit, plan, decode, sample, one step at a time
slots.py      the places where sequences run, what their cells hold         slot.py     one of them
prefix.py     which computed prefix a new sequence starts from              radix.py    who begins like a prompt
saved.py      computed states in host memory                                holders.py  who holds what is computed
planner.py    who is computed next                         batch.py    which tokens of them       pace.py  how many
sequence.py   one generation                scoring.py  log-probabilities of its prompt
prepare.py    request → tokens, limits       samplers.py  its sampler
context_end.py  what to cut when a prompt or a generation outgrows the context
detokenizer.py  pieces → text               stop.py     stop strings
media.py      images and sounds among the tokens
embeddings.py inputs → vectors              ports.py    what the engine needs of a model and its context
failures.py   final answers to requests that come to nothing
"""
