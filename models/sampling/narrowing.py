"""Choosing from the whole vocabulary by passes over it, without listing the tokens that can be chosen.

A token is drawn, and then it is checked whether the filters let it pass. All of them keep a range of logits: a token
that fails bounds the range that the next ones are drawn from. So each token that passes has the chance that it has
among those that pass, and one that fails costs little.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from models.sampling import chain
from models.sampling.chain import Candidates, Floats
from models.sampling.ports import Passes
from models.sampling.rng import draw
from models.sampling.singles import logit_above, next_up
from models.sampling.typical_range import TypicalRange
from models.sampling.usable import HIGHEST

_LEAST_TOP_P = 1e-7
"""The best token always passes."""
_MISSED = 4
"""Draws outside of the range after which it is quicker to sum what is in it."""
_DRAWN = 48
"""Draws after which those that pass are listed: there are so few of them, or rounding leaves none in the range."""


class Narrowing:
    """Chooses tokens for one sequence, at temperatures above 0. Does not change logits."""

    def __init__(self, passes: Passes, source: random.Random) -> None:
        self._passes = passes
        self._random = source

    def any(self, logits: Floats, temperature: float) -> int:
        """A token of the whole vocabulary. Raises: UnusableOutput."""
        self._passes.read(logits)
        self._passes.sum(temperature)
        return self._passes.find(draw(self._random))

    def min_p(self, logits: Floats, min_p: float, top_p: float, temperature: float) -> int:
        """One of the tokens that are likely enough beside the best one, and among the best. Raises: UnusableOutput."""
        passes = self._passes
        low = passes.read(logits) + _log_of(min(min_p, 1.0))
        if top_p < 1:
            passes.weigh(temperature)
            return self._best(logits, top_p, min_p, low, temperature)
        passes.sum(temperature, low)
        return passes.find(draw(self._random))

    def top_p(self, logits: Floats, p: float, temperature: float) -> int:
        """One of the most likely tokens that together have a probability of at least p. Raises: UnusableOutput."""
        self._passes.read(logits)
        self._passes.weigh(temperature)
        return self._best(logits, p, 0.0, -HIGHEST, temperature)

    def _best(self, logits: Floats, p: float, min_p: float, low: float, temperature: float) -> int:
        passes, weights = self._passes, self._passes.weights
        limit = max(p, _LEAST_TOP_P) * passes.total
        proposals = Proposals(passes, logits, self._random)
        proposals.low = low
        edge, last = 0.0, None
        for token in proposals:
            weight = weights.item(token)
            if last is not None:
                if weight > edge or token <= last:
                    return token
                continue
            from_weight, heavier = passes.at_least(weight, next_up(weight))
            if heavier >= limit:
                proposals.low = logit_above(logits.item(token))
            elif from_weight - weight < limit:
                return token
            else:  # of tokens that weigh the same only the first ones pass
                equal = np.flatnonzero(weights == np.float32(weight))
                edge, last = weight, int(equal[min(math.ceil((limit - heavier) / weight), len(equal)) - 1])
                proposals.low = max(low, float(logits[equal].min()))
                if token <= last:
                    return token
        return self._listed(logits, 1.0, p, min_p, temperature)

    def typical(self, logits: Floats, p: float, top_p: float, min_p: float, temperature: float) -> int:
        """One of the tokens that `chain.typical`, `top_p` and `min_p` keep, in this order. Raises: UnusableOutput."""
        passes = self._passes
        passes.read(logits)
        passes.weigh(temperature, with_moments=True)
        typical = TypicalRange(passes, logits, p, top_p, min_p)
        proposals = Proposals(passes, logits, self._random)
        for token in proposals:
            if typical.keeps(token):
                return token
            proposals.low, proposals.high = typical.low, typical.high
        return self._listed(logits, p, top_p, min_p, temperature)

    def _listed(self, logits: Floats, typical_p: float, top_p: float, min_p: float, temperature: float) -> int:
        """One of the tokens that pass, which are listed first: for those few that are hard to draw from all."""
        ids = np.flatnonzero(logits > -np.inf)
        found = chain.typical(Candidates(ids, logits[ids], False), typical_p)
        found = chain.min_p(chain.top_p(found, top_p), min_p)
        return chain.choose(found, temperature, draw(self._random))


class Proposals:
    """Some tokens by their chances; those whose logits are outside of `low` to `high` are left out."""

    def __init__(self, passes: Passes, logits: Floats, source: random.Random) -> None:
        self._passes, self._logits, self._random = passes, logits, source
        self.low, self.high = -HIGHEST, HIGHEST
        self._n_missed = 0
        self._n_left = _DRAWN

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        while self._n_left > 0:
            self._n_left -= 1
            token = self._passes.find(draw(self._random))
            if token < 0:
                break
            if self.low <= self._logits.item(token) <= self.high:
                return token
            self._n_missed += 1
            if self._n_missed == _MISSED:
                self._n_missed = 0
                self._passes.restrict(self.low, self.high)
        raise StopIteration


@lru_cache(maxsize=64)
def _log_of(p: float) -> float:
    """In single precision, as llama.cpp takes it."""
    return float(np.log(np.float32(p)))
