"""Choosing from the whole vocabulary, with filters of which it is not found out which tokens pass them.

A token is drawn, and then it is checked whether the filters let this one pass; if not, another is drawn. So each token
that passes has the chance that it has among those that pass. Most checks are decided by part of what the exact answer
takes. Where many tokens fail, those that pass are listed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from models.sampling import chain
from models.sampling.chain import Candidates, Floats
from models.sampling.narrowing import Narrowing
from models.sampling.rng import draw
from models.sampling.shortlist import Shortlist
from models.sampling.typical import Typical
from models.sampling.usable import HIGHEST
from models.sampling.whole import Scratch, Whole

_LEAST_SHARE = 0.4
"""What lets less of the probability pass is quicker to list."""
_TRIES = 16
"""Draws after which a filter counts as one that lets few tokens pass."""


def chooser(
    scratch: Scratch, shortlist: Shortlist, source: random.Random, *, keeps_logits: bool = False
) -> Broad | Narrowing:
    """The quickest there is."""
    if scratch.passes is not None:
        return Narrowing(scratch.passes, source)
    return Broad(scratch, shortlist, source, keeps_logits=keeps_logits)


class Broad:
    """Chooses tokens for one sequence, at temperatures above 0."""

    def __init__(
        self, scratch: Scratch, shortlist: Shortlist, source: random.Random, *, keeps_logits: bool = False
    ) -> None:
        """`keeps_logits`: they are not changed, which takes longer."""
        self._scratch = scratch
        self._overwrites = not keeps_logits
        self._shortlist = shortlist
        self._random = source

    def any(self, logits: Floats, temperature: float) -> int:
        """A token of the whole vocabulary. Raises: UnusableOutput."""
        return self._whole(logits, temperature).draw(self._random)

    def _whole(self, logits: Floats, temperature: float = 1.0) -> Whole:
        return Whole(self._scratch, logits, temperature, overwrites=self._overwrites)

    def min_p(self, logits: Floats, min_p: float, top_p: float, temperature: float) -> int:
        """One of the tokens that are likely enough beside the best one, and among the best. Raises: UnusableOutput.

        Those likely enough weigh together no more than all tokens: what comes within a share of theirs comes within
        that share of all.
        """
        found = self._shortlist.min_p(logits, min_p)
        token = self._choose(found, temperature)
        if top_p >= 1:
            return token
        place = int((found.ids == token).argmax())
        best = found.logits.max()
        weights = np.exp(found.logits - best)
        before = float(weights[found.logits > found.logits[place]].sum())
        before += float(weights[place]) * np.count_nonzero(found.logits[:place] == found.logits[place])
        if before < top_p * float(weights.sum()):
            return token
        whole = self._whole(logits)
        limit = top_p * whole.total / float(whole.weights[found.ids[found.logits.argmax()]])
        if before < limit:
            return token
        found = chain.sort(found)
        n_kept = int(np.exp(found.logits - best).cumsum(dtype=np.float64).searchsorted(limit)) + 1
        return self._choose(Candidates(found.ids[:n_kept], found.logits[:n_kept], True), temperature)

    def top_p(self, logits: Floats, p: float, temperature: float) -> int:
        """One of the most likely tokens that together have a probability of at least p. Raises: UnusableOutput."""
        whole = self._whole(logits)
        limit = p * whole.total

        def passes(token: int) -> bool:
            return whole.comes_within(token, float(whole.weights[token]), HIGHEST, limit)

        token = self._propose(whole, temperature, passes) if p >= _LEAST_SHARE else None
        return self._choose(self._shortlist.top_p(whole, p), temperature) if token is None else token

    def typical(self, logits: Floats, p: float, top_p: float, min_p: float, temperature: float) -> int:
        """One of the tokens that `chain.typical`, `top_p` and `min_p` keep, in this order. Raises: UnusableOutput."""
        typical = Typical(self._whole(logits), self._shortlist, p)

        def passes(token: int) -> bool:
            return typical.keeps(token, top_p, min_p)

        token = self._propose(typical.whole, temperature, passes) if p * top_p >= _LEAST_SHARE else None
        if token is not None:
            return token
        return self._choose(chain.min_p(chain.top_p(typical.list(), top_p), min_p), temperature)

    def _propose(self, whole: Whole, temperature: float, passes: Callable[[int], bool]) -> int | None:
        """A token that passes, by its chance among those that do; None: after many tries there was none."""
        draws = whole.draws(temperature, self._random)
        for _ in range(_TRIES):
            token = next(draws)
            if passes(token):
                return token
        return None

    def _choose(self, found: Candidates, temperature: float) -> int:
        return chain.choose(found, temperature, draw(self._random))
