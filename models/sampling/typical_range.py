"""Locally typical tokens, and the best of those, as ranges of weights around the expected logit.

A token's surprise is as far from the expected surprise as its logit from the expected logit: the typical tokens are
those up to some distance. Of that distance only as much is found out as it takes to decide about a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from models.sampling.chain import Floats, Ids
from models.sampling.ports import Passes
from models.sampling.singles import logit_above, logit_below, next_down, next_up
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
_LISTED = 6
"""Guesses, each of which leaves few of the tokens, before all that are left are listed."""
_FEW = 1024
"""Tokens that are worth listing and sorting."""


class Range(NamedTuple):
    """Tokens up to a distance from the mean: their weights, what they weigh together, and what is above them."""

    distance: float
    low: float
    high: float
    inside: float
    above: float


@dataclass(frozen=True, slots=True)
class Exact:
    """The typical tokens of the ring between the inner and the outer range; what all typical ones weigh together; and
    the weights of those of the ring that are above the mean and not typical."""

    ring: frozenset[int]
    inside: float
    left_out: Floats


class Heavier(NamedTuple):
    """What the tokens weigh that are heavier than one, and the others that weigh the same."""

    mass: float
    equal: float


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
        self._ceiling = 1.0
        """No typical token weighs more."""
        self.low, self.high = -HIGHEST, HIGHEST
        """All tokens that pass have such logits."""
        if min_p > 0 and passes.total > _FLAT:
            self._guess()

    def keeps(self, token: int) -> bool:
        """Whether a token passes; if not, `low` and `high` may have come nearer."""
        weight = self._weights.item(token)
        if self._min_p > 0 and weight < self._min_p * self._most:
            return False
        is_typical, heavier = self._is_typical(token, weight)
        if not is_typical:
            return False
        self._know(weight)
        passes = (self._min_p <= 0 or self._is_heavy_enough(weight)) and (
            self._top_p >= 1 or self._is_among_best(token, weight, heavier or self._heavier(weight))
        )
        if not passes:
            self.low = max(self.low, self._logits.item(token))
        return passes

    # ---- typical_p -------------------------------------------------------------------------------------------------

    def _is_typical(self, token: int, weight: float) -> tuple[bool, Heavier | None]:
        """Also what is heavier, where that was looked at."""
        if self._inner.low <= weight <= self._inner.high:
            return True, None
        score = self._logits.item(token) - self._best
        if not self._outer.low <= weight <= self._outer.high:
            self._rule_out(token, score)
            return False, None
        if self._exact is not None:
            return token in self._exact.ring, None
        mirrored = _weight_at(2 * self._mean - score)
        if weight <= mirrored:
            from_low, above_low, above = self._passes.at_least(weight, next_up(weight), next_up(mirrored))
            heavier, equal, nearer = above_low, from_low - above_low, above_low - above
        else:
            from_low, from_high, above = self._passes.at_least(mirrored, weight, next_up(weight))
            heavier, equal, nearer = above, from_high - above, from_low - from_high
        reach = Range(abs(score - self._mean), min(weight, mirrored), max(weight, mirrored), nearer + equal, above)
        if nearer + equal - weight <= self._share:
            self._set_inner(reach)
            return True, Heavier(heavier, equal - weight)
        if nearer > self._share:
            self._set_outer(reach)
            self._rule_out(token, score)
            return False, None
        self._resolve()  # of several tokens at this distance only the first ones are typical
        return self._is_typical(token, weight)

    def _rule_out(self, token: int, score: float) -> None:
        """That it and all further away from the mean are not typical; exactly so, where the ranges are about so."""
        logit = self._logits.item(token)
        if score > self._mean:
            self.high = min(self.high, logit_below(logit))
        else:
            self.low = max(self.low, logit_above(logit))

    def _set_inner(self, found: Range) -> None:
        if found.distance > self._inner.distance:
            self._inner = found

    def _set_outer(self, found: Range) -> None:
        if found.distance < self._outer.distance:
            self._outer = found
            self._ceiling = min(self._ceiling, found.high)
            self.low = max(self.low, self._best + _score_of(found.low))
            self.high = min(self.high, self._best + _score_of(found.high) + 2 * _ROUNDING)

    # ---- min_p -----------------------------------------------------------------------------------------------------

    def _is_heavy_enough(self, weight: float) -> bool:
        """Whether no typical token weighs more than 1 / min_p times as much."""
        n_left = _REFINED
        while weight >= self._min_p * self._most:
            if weight >= self._min_p * self._ceiling or self._exact is not None:
                return True
            nearest = self._lightest_above(weight / self._min_p)
            if nearest is not None:
                return nearest < 0 or not self._is_typical(nearest, self._weights.item(nearest))[0]
            self._approach(n_left)
            n_left -= 1
        return False

    def _lightest_above(self, weight: float) -> int | None:
        """Of the tokens above a weight, and above the mean, the one nearest to the mean, -1 if there are none.

        None: that would take longer than to ask otherwise.
        """
        if weight <= _weight_at(self._mean):
            return None
        heavier = self._passes.weighing(next_up(weight), self._ceiling, _FEW)
        if heavier is None:
            return None
        return int(heavier[self._weights[heavier].argmin()]) if len(heavier) else -1

    # ---- top_p -----------------------------------------------------------------------------------------------------

    def _is_among_best(self, token: int, weight: float, found: Heavier) -> bool:
        """Whether the typical tokens that come before one weigh together less than a share of all typical ones."""
        n_left = _REFINED
        while self._exact is None:
            if found.mass + found.equal - self._outer.above < self._top_p * max(self._share, self._inner.inside):
                return True
            if found.mass - self._inner.above >= self._top_p * self._outer.inside:
                return False
            self._approach(n_left)
            n_left -= 1
        left = self._exact.left_out
        above = self._outer.above + float(left[left > np.float32(weight)].sum(dtype=np.float64))
        limit = above + self._top_p * self._exact.inside
        if found.equal < weight / 2 or found.mass >= limit:
            return found.mass < limit
        n_before = int(np.count_nonzero(self._weights[:token] == np.float32(weight)))
        return found.mass + n_before * weight < limit

    def _heavier(self, weight: float) -> Heavier:
        from_weight, heavier = self._passes.at_least(weight, next_up(weight))
        return Heavier(heavier, from_weight - heavier - weight)

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
        less, more = self._bounds(middle - margin), self._bounds(middle + margin)
        *sums, most, most_wider = self._passes.at_least(less[0], next_up(less[1]), more[0], next_up(more[1]))
        for distance, (low, high), from_low, above in (
            (middle - margin, less, sums[0], sums[1]),
            (middle + margin, more, sums[2], sums[3]),
        ):
            reach = Range(distance, low, high, from_low - above, above)
            if reach.inside <= self._share:
                self._set_inner(reach)
            else:
                self._set_outer(reach)
        if sums[0] - sums[1] <= self._share:
            self._know(most)
        if sums[2] - sums[3] > self._share:
            self._ceiling = min(self._ceiling, most_wider)

    def _approach(self, n_left: int) -> None:
        if n_left > 0:
            self._guess()
        else:
            self._resolve()

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
        self._exact = Exact(frozenset(ring[kept].tolist()), inside, weights[left][is_above])
        if n_kept:
            self._know(float(weights[kept].max()))
        if self._inner.inside > 0:
            low, high = self._inner.low, next_up(self._inner.high)
            self._know(self._passes.at_least(low, high, low, high)[4])

    def _ring(self) -> Ids:
        for _ in range(_LISTED):
            found = self._between(_FEW)
            if found is not None:
                return found
            self._guess()
        weights, inner, outer = self._weights, self._inner, self._outer
        is_inside = (weights >= np.float32(inner.low)) & (weights <= np.float32(inner.high))
        is_near = (weights >= np.float32(outer.low)) & (weights <= np.float32(outer.high))
        return np.flatnonzero(is_near & ~is_inside)

    def _between(self, most: int) -> Ids | None:
        """The tokens of the outer range that are not in the inner one; None: there are more on one side."""
        inner, outer = self._inner, self._outer
        if inner.distance < 0:
            return self._passes.weighing(outer.low, outer.high, most)
        below = self._passes.weighing(outer.low, next_down(inner.low), most)
        above = None if below is None else self._passes.weighing(next_up(inner.high), outer.high, most)
        return None if below is None or above is None else np.sort(np.concatenate((below, above)))


def _weight_at(score: float) -> float:
    """What a token of this logit weighs, that of the best one subtracted; a number of single precision."""
    return float(np.float32(math.exp(min(score, 80.0))))


def _score_of(weight: float) -> float:
    """At most what a token of this weight scores."""
    return math.log(weight) - _ROUNDING if weight > 0 else -HIGHEST


@lru_cache(maxsize=64)
def _deviations(p: float) -> float:
    """Within how many standard deviations a share of a normal distribution is."""
    return NormalDist().inv_cdf((1 + min(max(p, 1e-3), 0.999)) / 2)
