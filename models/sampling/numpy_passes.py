"""Passes over the logits of a whole vocabulary with numpy, where none were compiled.

models.sampling.ports says what each is for.
"""

from __future__ import annotations

import random

import numpy as np

from models.sampling import chain
from models.sampling.chain import Filters, Floats, Ids
from models.sampling.ports import MOST_LISTED
from models.sampling.rng import draw
from models.sampling.shortlist import choose_listed, choose_listed_among
from models.sampling.usable import best_of

_GROUP = 16
_LEAST_SCORE = np.float32(-88)
"""What weighs less than e to this adds nothing; minus infinity, times nothing, is no number."""


class NumpyPasses:
    """Makes the passes one operation at a time."""

    def __init__(self, n_vocab: int) -> None:
        self._n = n_vocab
        self.weights: Floats = np.zeros(n_vocab, dtype=np.float32)
        self._logits = self._maxima = self.weights[:0]
        self._best = np.float32(0)
        self.mean = 0.0

    def choose(self, logits: Floats, filters: Filters, source: random.Random) -> int:
        self.read(logits)
        return choose_listed(self, logits, filters, draw(source))

    def choose_among(self, logits: Floats, tokens: Ids, filters: Filters, source: random.Random) -> int:
        return choose_listed_among(logits, tokens, filters, draw(source))

    def read(self, logits: Floats, *, with_maxima: bool = False) -> float:
        if logits.shape != (self._n,) or not logits.flags.c_contiguous:
            raise ValueError("not a row of as many logits as there are tokens")
        self._logits = logits
        if with_maxima:
            self._maxima = logits[: self._n // _GROUP * _GROUP].reshape(_GROUP, -1).max(axis=0)
        self._best = best_of(logits)
        return float(self._best)

    def weigh(self, *, with_mean: bool = False) -> float:
        with np.errstate(over="ignore"):
            scores = self._logits - self._best
        np.exp(scores, out=self.weights)
        total = float(chain.block_sums(self.weights).sum(dtype=np.float64))
        if with_mean:
            products = self.weights * np.maximum(scores, _LEAST_SCORE)
            self.mean = float(chain.block_sums(products).sum(dtype=np.float64)) / total
        return total

    def maxima(self) -> Floats:
        return self._maxima

    def from_logit(self, low: float) -> Ids | None:
        ids = np.flatnonzero(self._logits >= np.float32(low))
        return ids if len(ids) <= MOST_LISTED else None
