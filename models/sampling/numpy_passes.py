"""Passes over the logits of a whole vocabulary with numpy, where none were compiled.

models.sampling.ports says what each is for.
"""

from __future__ import annotations

import numpy as np

from models.sampling import chain
from models.sampling.chain import BLOCK, LEAST_TEMPERATURE, Floats, Ids
from models.sampling.ports import MOST_LISTED
from models.sampling.usable import HIGHEST, LOWEST, best_of

_GROUP = 16
_LEAST_SCORE = -88.0
"""What weighs less than e to this adds nothing; minus infinity, times nothing, is no number."""
_LEAST_POINT = 2.0**-64
"""At 0 there might be a token that weighs nothing."""


class NumpyPasses:
    """Makes the passes one operation at a time."""

    def __init__(self, n_vocab: int) -> None:
        self._n = n_vocab
        self._blocks: Floats = np.zeros((-(-n_vocab // BLOCK), BLOCK), dtype=np.float32)
        self.weights: Floats = self._blocks.reshape(-1)[:n_vocab]
        self._scores, self._others = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self._logits = self._maxima = self._drawn = self._sums = self._block_sums = self.weights[:0]
        self._drawn_ids: Ids | None = None
        self._temperature = 1.0
        self.best = self.total = self.mean = self.variance = self.drawn_total = 0.0

    def read(self, logits: Floats, *, with_maxima: bool = False) -> float:
        if logits.shape != (self._n,) or not logits.flags.c_contiguous:
            raise ValueError("not a row of as many logits as there are tokens")
        self._logits = logits
        if with_maxima:
            self._maxima = logits[: self._n // _GROUP * _GROUP].reshape(_GROUP, -1).max(axis=0)
        self.best = float(best_of(logits))
        return self.best

    def weigh(self, temperature: float, *, with_moments: bool = False) -> float:
        self._weigh_all(self.weights, 1.0)
        self.total, self._block_sums = self.drawn_total, self._sums
        if with_moments:
            scores = np.maximum(self._scores, np.float32(_LEAST_SCORE), out=self._scores)
            products = np.multiply(self.weights, scores, out=self._others)
            self.mean = float(chain.block_sums(products).sum(dtype=np.float64)) / self.total
            self.variance = max(float(products.dot(scores)) / self.total - self.mean**2, 0.0)
        if temperature != 1:
            self._weigh_all(self._others, temperature)
        return self.total

    def sum(self, temperature: float, low: float = LOWEST, high: float = HIGHEST) -> None:
        self._temperature = temperature
        self.restrict(low, high)

    def restrict(self, low: float, high: float) -> None:
        if low <= LOWEST and high >= HIGHEST:
            self._weigh_all(self._others, self._temperature)
            return
        ids = np.flatnonzero(_is_between(self._logits, max(low, LOWEST), high))
        scores = self._logits[ids]
        weights = _raised(scores, scores.max(initial=LOWEST), self._temperature, scores, scores)
        self._draw_from(weights, ids)

    def _weigh_all(self, weights: Floats, temperature: float) -> None:
        self._temperature = temperature
        self._draw_from(_raised(self._logits, self.best, temperature, self._scores, weights), None)

    def _draw_from(self, weights: Floats, ids: Ids | None) -> None:
        """`ids`: the tokens that weigh so much; None: all."""
        self._drawn, self._drawn_ids = weights, ids
        self._sums = chain.block_sums(weights)
        self.drawn_total = float(self._sums.sum(dtype=np.float64))

    def find(self, u: float) -> int:
        if self.drawn_total <= 0:
            return -1
        place = chain.pick_by_blocks(self._drawn, self._sums, max(u, _LEAST_POINT))
        return place if self._drawn_ids is None else int(self._drawn_ids[place])

    def at_least(self, *weights: float) -> list[float]:
        blocks = self._blocks
        if len(weights) < 4:  # no token is heavier than its block
            blocks = blocks[self._block_sums >= np.float32(min(weights))]
        found = [float(np.vecdot(blocks, blocks >= np.float32(weight)).sum(dtype=np.float64)) for weight in weights]
        if len(weights) == 4:
            found += [float((blocks * (blocks < np.float32(weight))).max()) for weight in (weights[1], weights[3])]
        return found

    def maxima(self) -> Floats:
        return self._maxima

    def between(self, low: float, high: float = HIGHEST, *, with_maxima: bool = False) -> Ids | None:
        return _listed(self._logits, low, high, MOST_LISTED)

    def weighing(self, low: float, high: float, most: int = MOST_LISTED) -> Ids | None:
        return _listed(self.weights, low, high, most)


def _raised(logits: Floats, best: float, temperature: float, scores: Floats, weights: Floats) -> Floats:
    """What tokens weigh beside the best one, written to `weights`; how far from it they are, to `scores`."""
    with np.errstate(over="ignore"):
        np.subtract(logits, np.float32(best), out=scores)
        if temperature != 1:
            scores *= np.float32(1 / max(temperature, LEAST_TEMPERATURE))
    return np.exp(scores, out=weights)


def _listed(values: Floats, low: float, high: float, most: int) -> Ids | None:
    ids = np.flatnonzero(_is_between(values, low, high))
    return ids if len(ids) <= most else None


def _is_between(values: Floats, low: float, high: float) -> chain.Flags:
    found: chain.Flags = values >= np.float32(low)
    if high < HIGHEST:
        found &= values <= np.float32(high)
    return found
