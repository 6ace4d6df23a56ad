"""Locally typical tokens, those whose surprise is nearest to the expected one, without listing them.

A token's surprise is as far from the expected surprise as its logit from the expected logit; and so of scores.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from models.sampling import chain
from models.sampling.chain import Candidates, Floats, Ids
from models.sampling.shortlist import Shortlist
from models.sampling.usable import HIGHEST
from models.sampling.whole import Whole

_FEW = 512
_ROUNDED_UP = 1 + 1e-5


class Edge(NamedTuple):
    """Where the typical tokens end.

    What those furthest above the mean weigh, one by one; what all of them weigh together; and what is left out of those
    as far above the mean.
    """

    weight: float
    mass: float
    left_out: float


class Typical:
    """The typical tokens of a distribution, up to a share of its probability."""

    def __init__(self, whole: Whole, shortlist: Shortlist, p: float) -> None:
        """`whole`: at temperature 1."""
        self.whole = whole
        self._shortlist = shortlist
        self._share = p * whole.total
        self._limit = math.nextafter(self._share, math.inf)  # exactly that share is allowed, too
        self._mean: float | None = None
        self._most: float | None = None
        self._found_edge: Edge | None = None
        self._within, self._beyond = -1.0, math.inf
        """As far from the mean as the first is typical, further than the second is not."""

    @property
    def mean(self) -> float:
        """The expected score."""
        if self._mean is None:
            self._mean = self.whole.mean_score()
        return self._mean

    def holds(self, token: int) -> bool:
        """Whether a token is one of them."""
        whole = self.whole
        weight = float(whole.weights[token])
        if whole.total - weight < self._limit:
            return True
        score = float(whole.scores[token])
        distance = abs(score - self.mean)
        if not self._within <= distance <= self._beyond:
            return distance < self._within
        mirrored = whole.weight_at(2 * self.mean - score)
        is_typical = whole.comes_within(token, min(weight, mirrored), max(weight, mirrored), self._limit)
        self._remember(distance, is_typical=is_typical)
        return is_typical

    def _remember(self, distance: float, *, is_typical: bool) -> None:
        if is_typical:
            self._within = max(self._within, distance)
        else:
            self._beyond = min(self._beyond, distance)

    def keeps(self, token: int, top_p: float, min_p: float) -> bool:
        """Whether a token is one of them, and one that `chain.top_p` and then `chain.min_p` keep of them."""
        weight = float(self.whole.weights[token])
        if min_p > 0 and not self._is_heavy_enough(weight, min_p):
            return False
        return self.holds(token) and (top_p >= 1 or self._is_among_best(token, weight, top_p))

    def _is_among_best(self, token: int, weight: float, top_p: float) -> bool:
        """Whether those of them that are heavier weigh together less than a share of what all of them weigh.

        They weigh more than `p` of all; and no more of them are heavier than there are tokens.
        """
        if self.whole.comes_within(token, weight, HIGHEST, top_p * self._share):
            return True
        edge = self._edge()
        left_out = edge.left_out if weight < edge.weight else 0.0
        return self.whole.comes_within(token, weight, edge.weight * _ROUNDED_UP, top_p * edge.mass + left_out)

    def _is_heavy_enough(self, weight: float, min_p: float) -> bool:
        """Whether none of them weighs more than 1 / min_p times as much."""
        min_p = min(min_p, 1.0)
        if weight >= min_p * self.whole.total:
            return True
        heaviest = self._heaviest()
        if heaviest is not None:
            return weight >= min_p * heaviest
        most = weight / min_p
        if self._is_above_all(self.whole.score_at(most), most):
            return True
        # Of those above the mean the lightest are nearest: if the next heavier token is none of them, no other one is.
        heavier = self.whole.next_heavier(most)
        return heavier is None or (float(self.whole.scores[heavier]) > self.mean and not self.holds(heavier))

    def _is_above_all(self, score: float, weight: float) -> bool:
        """Whether a score is so far above the mean that those nearer to it are enough."""
        distance = score - self.mean
        if distance <= self._within:
            return False
        if distance <= self._beyond:
            lowest = self.whole.weight_at(self.mean - distance)
            self._remember(distance, is_typical=self.whole.is_less(lowest, weight, self._limit))
        return distance >= self._beyond

    def _heaviest(self) -> float | None:
        """The weight of the most likely token, if that is so likely that it must be one of them."""
        if self._most is None:
            self._most = self.whole.heaviest(self.whole.total - self._limit)
        return self._most or None

    def list(self) -> Candidates:
        """All of them."""
        distances = np.abs(self.whole.scores - np.float32(self.mean))
        ids = chain.take_mass(distances, self.whole.weights, np.float32(self._share))
        return Candidates(ids, self.whole.logits_of(ids), False)

    def _edge(self) -> Edge:
        if self._found_edge is None:
            self._found_edge = (
                self._edge_among(self._shortlist.most_likely(self.whole.scores, _FEW)) or self._any_edge()
            )
        return self._found_edge

    def _edge_among(self, ids: Ids) -> Edge | None:
        """The edge, if all of them are among these most likely tokens."""
        found = self.whole.scores[ids]
        distances = np.abs(found - np.float32(self.mean))
        order = distances.argsort(kind="stable")
        running = self.whole.weights[ids][order].cumsum(dtype=np.float64)
        place = int(running.searchsorted(self._share, side="right"))
        if place == len(ids) or self.mean - distances[order[place]] < found.min():
            return None
        rest = order[place + 1 :]
        return self._edge_at(distances[order[place]], running[place], ids[rest], distances[rest])

    def _any_edge(self) -> Edge:
        distances = np.abs(self.whole.scores - np.float32(self.mean))
        found = chain.find_smallest(distances, self.whole.weights, np.float32(self._share))
        distance = distances[found.ids[-1]]
        rest = np.setdiff1d(np.flatnonzero(distances == distance), found.ids)
        return self._edge_at(distance, found.mass, rest, distances[rest])

    def _edge_at(self, distance: np.float32, mass: float, rest: Ids, distances: Floats) -> Edge:
        equal = rest[distances == distance]
        above = equal[self.whole.scores[equal] > self.mean]
        return Edge(
            self.whole.weight_at(self.mean + float(distance)), float(mass), float(self.whole.weights[above].sum())
        )
