"""Locally typical tokens, those whose surprise is nearest to the expected one, without listing them.

A token's surprise is as far from the expected surprise as its logit from the expected logit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from models.sampling import chain
from models.sampling.chain import Candidates, Floats, Ids
from models.sampling.shortlist import Shortlist
from models.sampling.whole import HIGHEST, Whole

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

    @property
    def mean(self) -> float:
        """The expected logit."""
        if self._mean is None:
            self._mean = self.whole.mean_logit()
        return self._mean

    def holds(self, token: int) -> bool:
        """Whether a token is one of them."""
        whole = self.whole
        weight = float(whole.weights[token])
        if whole.total - weight < self._limit:
            return True
        mirrored = whole.weight_at(2 * self.mean - float(whole.logits[token]))
        return whole.comes_within(token, min(weight, mirrored), max(weight, mirrored), self._limit)

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
        heaviest = self._heaviest()
        if heaviest is not None:
            return weight >= min(min_p, 1.0) * heaviest
        most = weight / min(min_p, 1.0)
        at = self.whole.logit_at(most)
        if at > self.mean and not self.whole.is_less(self.whole.weight_at(2 * self.mean - at), most, self._limit):
            return True  # those nearer to the mean are enough
        # Of those above the mean the lightest are nearest: if the next heavier token is none of them, no other one is.
        heavier = self.whole.next_heavier(most)
        return heavier is None or (float(self.whole.logits[heavier]) > self.mean and not self.holds(heavier))

    def _heaviest(self) -> float | None:
        """The weight of the most likely token, if that is so likely that it must be one of them."""
        if self._most is None:
            self._most = self.whole.heaviest(self.whole.total - self._limit)
        return self._most or None

    def list(self) -> Candidates:
        """All of them."""
        logits = self.whole.logits
        distances = np.abs(logits - np.float32(self.mean))
        ids = chain.take_mass(distances, self.whole.weights, np.float32(self._share))
        return Candidates(ids, logits[ids], False)

    def _edge(self) -> Edge:
        if self._found_edge is None:
            self._found_edge = (
                self._edge_among(self._shortlist.most_likely(self.whole.logits, _FEW)) or self._any_edge()
            )
        return self._found_edge

    def _edge_among(self, ids: Ids) -> Edge | None:
        """The edge, if all of them are among these most likely tokens."""
        found = self.whole.logits[ids]
        distances = np.abs(found - np.float32(self.mean))
        order = distances.argsort(kind="stable")
        running = self.whole.weights[ids][order].cumsum(dtype=np.float64)
        place = int(running.searchsorted(self._share, side="right"))
        if place == len(ids) or self.mean - distances[order[place]] < found.min():
            return None
        rest = order[place + 1 :]
        return self._edge_at(distances[order[place]], running[place], ids[rest], distances[rest])

    def _any_edge(self) -> Edge:
        distances = np.abs(self.whole.logits - np.float32(self.mean))
        found = chain.find_smallest(distances, self.whole.weights, np.float32(self._share))
        distance = distances[found.ids[-1]]
        rest = np.setdiff1d(np.flatnonzero(distances == distance), found.ids)
        return self._edge_at(distance, found.mass, rest, distances[rest])

    def _edge_at(self, distance: np.float32, mass: float, rest: Ids, distances: Floats) -> Edge:
        equal = rest[distances == distance]
        above = equal[self.whole.logits[equal] > self.mean]
        return Edge(
            self.whole.weight_at(self.mean + float(distance)), float(mass), float(self.whole.weights[above].sum())
        )
