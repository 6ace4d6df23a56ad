"""How the next token is picked from its logits.

sampler.py    one sequence's sampler: its options, random numbers, recent tokens
ports.py      what choosing asks of passes over all logits      usable.py   whether logits are numbers
choose.c      choosing in one call, compiled                    passes.py         calls what is compiled
narrowing.c   of all tokens, by passes (passes.c) over them     numpy_passes.py   the same where nothing is
passing.c     which of them pass the filters                 bits.c           the tokens that a mask allows
shortlist.py  the few tokens that can be picked, found without sorting the vocabulary (shortlist.c: compiled)
chain.py      the filters in llama.cpp's order, on a short list
pipeline.py   filters in any order, the rarer ones among them        mirostat.py    choosing by surprise
adaptive.py   choosing by nearness to a probability
backend.py    what the backend can pick in the place of a sampler
dry.py        against repeated sequences
penalties.py  repetition, presence and frequency     rng.py        the random numbers of a seed
logprobs.py   log-probabilities for clients          grammar.py    what constrained output may continue with
constraint_errors.py  what is wrong with a schema or a grammar       pieces.py      the bytes of tokens
trial.py      whether a grammar compiles within limits    gbnf.py    grammars in llama.cpp's form
named_tokens.py  the tokens that these may name
thoughts.py   where a thought ends, and how long it may become
closed.py     schemas whose objects have no properties but those named
after_thought.py  a constraint that waits until the model has thought
"""
