"""Locally typical tokens, and the best of those, as ranges of weights around the expected logit.

A token's surprise is as far from the expected surprise as its logit from the expected logit: the typical tokens are
those up to some distance. Of that distance only as much is found out as it takes to decide about a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from models.sampling.chain import Floats, Ids
from models.sampling.passes import Masses, Passes
from models.sampling.usable import HIGHEST

_FLAT = 64.0
"""Weights together, in those of the best token, from which many tokens are typical."""
_MARGIN = 0.02
_ROUNDING = 1e-5
"""More than a logit can differ from the logarithm of its weight."""
_LEAST_TOP_P = 1e-6
"""Of all tokens; what sums in single precision can tell from nothing. The best token always passes."""
_SMALLEST = float(np.finfo(np.float32).tiny)
_REFINED = 2
_FEW = 1024
"""Tokens that are worth listing and sorting."""


@dataclass(frozen=True, slots=True)
class Range:
    """Tokens up to a distance from the mean: their weights, what they weigh together, and what is above them."""

    distance: float
    low: float
    high: float
    inside: float
    above: float


@dataclass(frozen=True, slots=True)
class Exact:
    """The typical tokens of the ring between the inner and the outer range; what all typical ones weigh, and what is
    heavier than the mean and not typical."""

    ring: frozenset[int]
    inside: float
    above: float


class TypicalRange:
    """Tells which tokens pass typical_p, top_p and min_p, in this order, of those that `passes` has weighed."""

    def __init__(self, passes: Passes, logits: Floats, p: float, top_p: float, min_p: float) -> None:
        self._passes, self._logits, self._weights = passes, logits, passes.weights
        self._share = p * passes.total
        self._p, self._top_p, self._min_p = p, max(top_p, _LEAST_TOP_P), min(min_p, 1.0)
        self._best, self._mean = passes.best, passes.mean
        self._inner = Range(-1.0, math.inf, 0.0, 0.0, passes.total)
        """All tokens of it are typical."""
        self._outer = Range(math.inf, 0.0, HIGHEST, passes.total, 0.0)
        """All typical tokens are in it."""
        self._exact: Exact | None = None
        self._most = 0.0
        """The weight of a typical token, the greatest that is known."""
        self.low, self.high = -HIGHEST, HIGHEST
        """All tokens that pass have such logits."""
        if (min_p > 0 or top_p < 1) and passes.total > _FLAT:
            self._guess()

    def keeps(self, token: int) -> bool:
        """Whether a token passes; if not, `low` and `high` may have come nearer."""
        weight = self._weights.item(token)
        if self._min_p > 0 and weight < self._min_p * self._most:
            return False
        is_typical, found = self._is_typical(token, weight)
        if not is_typical:
            return False
        self._know(weight)
        passes = (self._min_p <= 0 or self._is_heavy_enough(weight)) and (
            self._top_p >= 1 or self._is_among_best(token, weight, found)
        )
        if not passes:
            self.low = max(self.low, self._logits.item(token))
        return passes

    # ---- typical_p -------------------------------------------------------------------------------------------------

    def _is_typical(self, token: int, weight: float) -> tuple[bool, Masses | None]:
        """Also what is inside and above the range that ends at this token, where it was looked at."""
        if self._inner.low <= weight <= self._inner.high:
            return True, None
        if not self._outer.low <= weight <= self._outer.high:
            return False, None
        if self._exact is not None:
            return token in self._exact.ring, None
        score = self._logits.item(token) - self._best
        mirrored = _weight_at(2 * self._mean - score)
        low, high = min(weight, mirrored), max(weight, mirrored)
        found = self._passes.mass(low, high)
        reach = Range(abs(score - self._mean), low, high, found.inside, found.above)
        if found.inside - weight <= self._share:
            self._set_inner(reach)
            return True, found
        is_lower = weight <= mirrored
        nearer = self._passes.mass(_next_up(low), high) if is_lower else self._passes.mass(low, _next_down(high))
        if nearer.inside > self._share:
            self._set_outer(reach)
            return False, None
        self._resolve()  # of several tokens at this distance only the first ones are typical
        return self._is_typical(token, weight)

    def _set_inner(self, found: Range) -> None:
        if found.distance > self._inner.distance:
            self._inner = found

    def _set_outer(self, found: Range) -> None:
        if found.distance < self._outer.distance:
            self._outer = found
            self.low = max(self.low, self._best + _score_of(found.low))
            self.high = min(self.high, self._best + _score_of(found.high) + 2 * _ROUNDING)

    # ---- min_p -----------------------------------------------------------------------------------------------------

    def _is_heavy_enough(self, weight: float) -> bool:
        """Whether no typical token weighs more than 1 / min_p times as much."""
        n_left = _REFINED
        while True:
            if weight >= self._min_p * min(self._outer.high, 1.0):
                return True
            if weight < self._min_p * self._most:
                return False
            if self._exact is not None:
                return True
            if n_left == 0:
                self._resolve()
            else:
                self._guess()
            n_left -= 1

    # ---- top_p -----------------------------------------------------------------------------------------------------

    def _is_among_best(self, token: int, weight: float, found: Masses | None) -> bool:
        """Whether the typical tokens that come before one weigh together less than a share of all typical ones."""
        heavier = self._heavier(weight, found)
        n_left = _REFINED
        while True:
            if self._exact is None:
                least, most = max(self._share, self._inner.inside), self._outer.inside
                above, above_inner = self._outer.above, self._inner.above
            else:
                least = most = self._exact.inside
                above = above_inner = self._exact.above
            if heavier - above < self._top_p * least:
                return True
            nearer = self._passes.mass(_next_up(weight)).inside
            if nearer - above_inner >= self._top_p * most:
                return False
            if self._exact is not None:
                n_before = int(np.count_nonzero(self._weights[:token] == np.float32(weight)))
                return nearer - above + n_before * weight < self._top_p * least
            if n_left == 0:
                self._resolve()
            else:
                self._guess()
            n_left -= 1

    def _heavier(self, weight: float, found: Masses | None) -> float:
        """What the tokens weigh that weigh as much or more, without one of this weight."""
        if found is None or weight > _weight_at(self._mean):
            return self._passes.mass(weight).inside - weight
        return found.inside + found.above - weight

    # ---- where the typical tokens end ------------------------------------------------------------------------------

    def _guess(self) -> None:
        """Bring the inner and the outer range nearer to each other, by two that are probably so."""
        inner, outer = self._inner, self._outer
        if outer.distance == math.inf:
            middle = max(inner.distance * 1.2, math.sqrt(self._passes.variance) * _deviations(self._p))
            margin = _MARGIN * middle
        else:
            part = (self._share - inner.inside) / max(outer.inside - inner.inside, _SMALLEST)
            width = outer.distance - max(inner.distance, 0.0)
            middle = max(inner.distance, 0.0) + min(max(part, 0.1), 0.9) * width
            margin = _MARGIN * width
        less, more = (self._bounds(distance) for distance in (middle - margin, middle + margin))
        nearer, wider, most = self._passes.masses(*less, *more)
        for distance, bounds, found in ((middle - margin, less, nearer), (middle + margin, more, wider)):
            reach = Range(distance, *bounds, found.inside, found.above)
            if found.inside <= self._share:
                self._set_inner(reach)
            else:
                self._set_outer(reach)
        if nearer.inside <= self._share:
            self._know(most)

    def _bounds(self, distance: float) -> tuple[float, float]:
        return _weight_at(self._mean - distance), _weight_at(self._mean + distance)

    def _know(self, weight: float) -> None:
        """That a token of this weight is typical."""
        if weight <= self._most:
            return
        self._most = weight
        if self._min_p > 0:
            self.low = max(self.low, self._best + _score_of(self._min_p * self._most))

    def _resolve(self) -> None:
        """Find out which tokens are typical, by listing those between the inner and the outer range."""
        ring = self._ring()
        weights = self._weights[ring]
        scores = self._logits[ring] - np.float32(self._best)
        order = np.abs(scores - np.float32(self._mean)).argsort(kind="stable")
        running = self._inner.inside + weights[order].cumsum(dtype=np.float64)
        n_kept = 0
        if self._inner.inside <= self._share:
            n_kept = min(int(running.searchsorted(self._share, side="right")) + 1, len(ring))
        kept, left = order[:n_kept], order[n_kept:]
        inside = float(running[n_kept - 1]) if n_kept else self._inner.inside
        is_above = scores[left] > self._mean
        above = self._outer.above + float(weights[left][is_above].sum(dtype=np.float64))
        self._exact = Exact(frozenset(ring[kept].tolist()), inside, above)
        if n_kept:
            self._know(float(weights[kept].max()))
        if self._inner.inside > 0:
            inner = self._inner
            self._know(self._passes.masses(inner.low, inner.high, inner.low, inner.high)[2])

    def _ring(self) -> Ids:
        for _ in range(_REFINED):
            found = self._between()
            if found is not None and len(found) <= _FEW:
                return found
            self._guess()
        found = self._between()
        if found is not None:
            return found
        weights, inner, outer = self._weights, self._inner, self._outer
        is_inside = (weights >= np.float32(inner.low)) & (weights <= np.float32(inner.high))
        is_near = (weights >= np.float32(outer.low)) & (weights <= np.float32(outer.high))
        return np.flatnonzero(is_near & ~is_inside)

    def _between(self) -> Ids | None:
        """The tokens of the outer range that are not in the inner one; None: very many."""
        inner, outer = self._inner, self._outer
        if inner.distance < 0:
            return self._passes.weighing(outer.low, outer.high)
        below = self._passes.weighing(outer.low, _next_down(inner.low))
        if below is None:
            return None
        above = self._passes.weighing(_next_up(inner.high), outer.high)
        return None if above is None else np.sort(np.concatenate((below, above)))


def _weight_at(score: float) -> float:
    """What a token of this logit weighs, that of the best one subtracted; a number of single precision."""
    return float(np.float32(math.exp(min(score, 80.0))))


def _score_of(weight: float) -> float:
    """At most what a token of this weight scores."""
    return math.log(weight) - _ROUNDING if weight > 0 else -HIGHEST


def _next_up(weight: float) -> float:
    return float(np.nextafter(np.float32(weight), np.float32(np.inf)))


def _next_down(weight: float) -> float:
    return float(np.nextafter(np.float32(weight), np.float32(-np.inf)))


@lru_cache(maxsize=64)
def _deviations(p: float) -> float:
    """Within how many standard deviations a share of a normal distribution is."""
    return NormalDist().inv_cdf((1 + min(max(p, 1e-3), 0.999)) / 2)
