"""Mirostat: choosing so that the text stays about as surprising as asked for. Source: llama.cpp's samplers of the name.

Nothing but biases and temperature comes before it. What was chosen moves the bound on surprise for the next token.
"""

from __future__ import annotations

import random

import numpy as np

from models.runner.settings import Sampling
from models.sampling import chain
from models.sampling.chain import LEAST_TEMPERATURE, Floats, Ids
from models.sampling.ports import Passes
from models.sampling.rng import draw_among
from models.sampling.shortlist import Shortlist

_M = 100
"""The most likely tokens, from which version 1 estimates how likelihood falls off."""


class Mirostat:
    """Chooses the tokens of one sequence. The temperature is above 0."""

    def __init__(self, options: Sampling, passes: Passes, source: random.Random) -> None:
        self._options = options
        self._passes = passes
        self._shortlist = Shortlist(passes)
        self._random = source
        self._temperature = np.float32(max(options.temperature, LEAST_TEMPERATURE))
        self._bound = np.float32(2 * options.mirostat_tau)

    def choose(self, logits: Floats) -> int:
        """The next token. Raises: UnusableOutput."""
        with np.errstate(over="ignore"):
            tempered = logits / self._temperature
        self._passes.read(tempered)
        total = self._passes.weigh()
        kept = self._by_estimate(logits) if self._options.mirostat == 1 else self._by_surprise(logits, total)
        weights = self._passes.weights[kept]
        picked = chain.pick(weights, draw_among(len(weights), self._random))
        surprise = -np.log2(weights[picked] / weights.sum())
        error = surprise - np.float32(self._options.mirostat_tau)
        self._bound -= np.float32(self._options.mirostat_eta) * error
        return int(kept[picked])

    def _by_surprise(self, logits: Floats, total: float) -> Ids:
        """Version 2: the tokens that surprise no more than the bound, one at least."""
        with np.errstate(over="ignore"):
            least = np.exp2(-self._bound) * np.float32(total)
        weights = self._passes.weights
        kept = np.flatnonzero((weights >= least) & (weights > 0))
        return _sorted(kept, logits) if len(kept) else np.array([logits.argmax()])

    def _by_estimate(self, logits: Floats) -> Ids:
        """Version 1: so many of the most likely tokens as an estimate of their distribution gives."""
        best = self._shortlist.top_k(logits, _M)
        ranks = np.arange(1, len(best.ids), dtype=np.float32)
        steps = np.log((ranks + 1) / ranks)
        with np.errstate(all="ignore"):  # where tokens weigh nothing the slope is no number
            probs = np.exp((best.logits - best.logits[0]) / self._temperature)
            drops = np.log(probs[:-1] / probs[1:])
        if len(ranks) == 0 or not (slope := (steps * drops).cumsum()[-1] / (steps * steps).cumsum()[-1]) > 0:
            return best.ids[:1]
        return _sorted(self._shortlist.top_k(logits, self._n_kept(slope, len(logits))).ids, logits)

    def _n_kept(self, slope: np.float32, n_vocab: int) -> int:
        one, excess = np.float32(1), slope - np.float32(1)
        with np.errstate(all="ignore"):
            share = excess * np.exp2(self._bound) / (one - np.float32(n_vocab) ** -excess)
            n = float(share ** (one / slope))
        return int(min(n, n_vocab)) if n > 1 else 1


def _sorted(ids: Ids, logits: Floats) -> Ids:
    """The most likely first, which is the order in which llama.cpp chooses; not where there are very many."""
    return ids if len(ids) > chain.MANY else ids[np.argsort(-logits[ids], kind="stable")]
