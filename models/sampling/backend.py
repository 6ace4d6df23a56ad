"""Which requests the backend that computes the logits can pick tokens for, inside the graph, and how."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from models.runner.settings import Sampling
from models.sampling import penalties

MOST_CANDIDATES = 128
"""llama.cpp copies all candidates to the host, with their logits and chances: of a whole vocabulary that is three times
what its logits alone take, and chances summed over that many in single precision leave gaps."""
_COLDEST, _HOTTEST = 1e-3, 1e3
"""Beyond them, logits divided by the temperature may leave the range of numbers."""


@dataclass(frozen=True, slots=True)
class BackendChain:
    """Filters and a draw, as nodes of the graph. A context keeps it until another one takes its place."""

    top_k: int
    """1: the most likely token, without a draw."""
    top_p: float = 1.0
    temperature: float = 1.0


GREEDY = BackendChain(1)


def chain_for(options: Sampling, n_vocab: int) -> BackendChain | None:
    """How the backend picks for these options, with the chances that they ask for; None: it cannot.

    `options` ask for none of the rarer samplers. What the backend must not be asked to do, though it offers it:
    * a draw with a seed: a GPU may list the best tokens in another order each time, and the number drawn counts along
      that order;
    * top_k of more than the vocabulary, which ends the process;
    * min_p: of logits that are not numbers, a GPU finds no best one, and reads outside of the memory to fetch it.
    """
    if options.typical_p < 1 or penalties.is_active(options):
        return None
    if options.temperature <= 0:
        return GREEDY
    if options.seed is not None or not options.min_p <= 0 or not options.top_p >= 0:
        return None
    if not 0 < options.top_k <= min(MOST_CANDIDATES, n_vocab) or not _COLDEST <= options.temperature <= _HOTTEST:
        return None
    if options.top_k == 1:
        return GREEDY
    return _shared(options.top_k, min(options.top_p, 1.0), options.temperature)


@lru_cache(maxsize=64)
def _shared(top_k: int, top_p: float, temperature: float) -> BackendChain:
    """The same object for the same options: it is compared before every decode."""
    return BackendChain(top_k, top_p, temperature)
