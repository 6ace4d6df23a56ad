"""Choosing with filters that let very many tokens pass, without finding out which these are.

A token is drawn from the whole vocabulary, and then it is checked whether the filter lets this one pass; if not,
another is drawn. So each token that passes has the chance that it has among those that pass. Drawing and checking take
sums over the vocabulary, but no sorting, and the sums of a check end as soon as they are decisive.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import numpy as np

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import Floats
from models.sampling.rng import draw

UNUSABLE = "the model's output is not a number"

HIGHEST = np.finfo(np.float32).max
LOWEST = -HIGHEST
_FAINT = 1e-20
_LEAST_SHARE = 0.4
_TRIES = 16
"""Draws after which a filter counts as one that lets few tokens pass."""
_THINNED = 8
_COLUMNS = 4096
"""About so many; a divisor of the vocabulary's size where there is one, so that nothing is left over."""


class Scratch:
    """What all samplers of one thread share: buffers as large as the vocabulary, and how to divide it."""

    def __init__(self, n_vocab: int) -> None:
        self.values = np.empty(n_vocab, dtype=np.float32)
        self.marks = np.empty(n_vocab, dtype=np.float32)
        self.spare = np.empty(n_vocab, dtype=np.float32)  # no memory until it is used
        self.n_columns = _columns(n_vocab)
        ends = [0, n_vocab // 8, n_vocab // 4, n_vocab // 2, n_vocab]
        self.parts = [slice(start, end) for start, end in itertools.pairwise(ends)]


def _columns(n_vocab: int) -> int:
    fitting = [n for n in range(_COLUMNS // 2, 2 * _COLUMNS) if n_vocab % n == 0]
    return min(fitting, key=lambda n: abs(n - _COLUMNS), default=_COLUMNS)


class Whole:
    """The distribution over the whole vocabulary: to draw from, and to ask where a token stands in it."""

    def __init__(self, scratch: Scratch, logits: Floats, temperature: float, *, spare: bool = False) -> None:
        """Overwrites the scratch, its `spare` part or the other. Raises: UnusableOutput."""
        self._scratch = scratch
        self._logits = logits
        values = scratch.spare if spare else scratch.values
        with np.errstate(over="ignore"):
            weights = _weigh(logits, temperature, np.float32(0), values)
        sums = chain.block_sums(weights)
        total = float(sums.sum())
        if not _FAINT < total < math.inf:  # too large or too small to do without the best one
            weights = _weigh(logits, temperature, best_of(logits), values)
            sums = chain.block_sums(weights)
            total = float(sums.sum())
        self.weights, self._sums, self.total = weights, sums, total

    def draw(self, source: random.Random) -> int:
        """A token, by its chance."""
        return chain.pick_by_blocks(self.weights, self._sums, draw(source))

    def mean_logit(self) -> np.float32:
        """The expected logit."""
        with np.errstate(invalid="ignore"):
            mean = self.weights.dot(self._logits)
        if math.isnan(mean):  # 0 times minus infinity
            possible = np.flatnonzero(self.weights)
            mean = self.weights[possible].dot(self._logits[possible])
        return np.float32(mean / self.total)

    def is_among_best(self, token: int, share: float) -> bool:
        """Whether the tokens before this one, the most likely first, have less than that share of the probability."""
        logits, marks = self._logits, self._scratch.marks
        logit = logits[token]
        needed = (1 - share) * self.total
        behind = float(self.weights[token])
        if behind > needed:
            return True
        for part in self._scratch.parts:
            behind += float(np.less(logits[part], logit, out=marks[part]).dot(self.weights[part]))
            if behind > needed:
                return True
        return behind + self._ties(token, logits == logit) > needed

    def is_typical(self, token: int, mean: np.float32, share: float) -> bool:
        """The same where those come first whose logits are nearest to the mean; exactly that share is allowed, too."""
        logits, marks = self._logits, self._scratch.marks
        distance = abs(logits[token] - mean)
        needed = (1 - share) * self.total
        behind = float(self.weights[token])
        if behind >= needed:
            return True
        for part in self._scratch.parts:
            further = np.subtract(logits[part], mean, out=marks[part])
            further = np.greater(np.abs(further, out=further), distance, out=further)
            behind += float(further.dot(self.weights[part]))
            if behind >= needed:
                return True
        return behind + self._ties(token, np.abs(logits - mean) == distance) >= needed

    def _ties(self, token: int, equal: chain.Flags) -> float:
        """What those weigh that are equal to a token and come after it, by their ids."""
        return float(self.weights[token + 1 :][equal[token + 1 :]].sum())


class Broad:
    """Chooses tokens for one sequence; None says that too few pass the filter for this to be the right way."""

    def __init__(self, scratch: Scratch, source: random.Random) -> None:
        self._scratch = scratch
        self._random = source

    def any(self, logits: Floats, temperature: float) -> int:
        """A token of the whole vocabulary. Raises: UnusableOutput."""
        return Whole(self._scratch, logits, temperature).draw(self._random)

    def top_p(self, logits: Floats, p: float, min_p: float, temperature: float) -> int | None:
        """One of the most likely tokens that together have a probability of at least p. Raises: UnusableOutput."""
        if p < _LEAST_SHARE:
            return None
        whole = Whole(self._scratch, logits, 1.0)
        least = best_of(logits) + _log(min_p) if min_p > 0 else LOWEST
        for token in self._proposals(whole, logits, temperature):
            if logits[token] >= least and whole.is_among_best(token, p):
                return token
        return None

    def typical(self, logits: Floats, p: float, min_p: float, temperature: float) -> int | None:
        """One of the tokens that `chain.typical` would keep of the vocabulary. Raises: UnusableOutput."""
        if p < _LEAST_SHARE:
            return None
        whole = Whole(self._scratch, logits, 1.0)
        mean = whole.mean_logit()
        least = LOWEST
        if min_p > 0:
            best = int(logits.argmax())
            if not whole.is_typical(best, mean, p):
                return None  # the best of those that pass is not known
            least = logits[best] + _log(min_p)
        for token in self._proposals(whole, logits, temperature):
            if logits[token] >= least and whole.is_typical(token, mean, p):
                return token
        return None

    def _proposals(self, whole: Whole, logits: Floats, temperature: float) -> Iterator[int]:
        """Tokens by their chance at this temperature; `whole` is the distribution at 1.

        Below 1, some of what is drawn at 1 is dropped, the less likely the more: no second distribution to compute.
        """
        n_left = _TRIES
        if temperature < 1:
            best, power = best_of(logits), 1 / max(temperature, chain.LEAST_TEMPERATURE) - 1
            for _ in range(_THINNED):
                token = whole.draw(self._random)
                if self._random.random() < math.exp((logits[token] - best) * power):
                    n_left -= 1
                    yield token
        if temperature != 1:
            whole = Whole(self._scratch, logits, temperature, spare=True)
        for _ in range(n_left):
            yield whole.draw(self._random)


def best_of(logits: Floats) -> np.float32:
    """The highest logit. Raises: UnusableOutput."""
    best: np.float32 = logits.max()
    if not LOWEST <= best <= HIGHEST:  # NaN compares as false
        raise UnusableOutput(UNUSABLE)
    return best


def _log(min_p: float) -> np.float32:
    logarithm: np.float32 = np.log(np.float32(min(min_p, 1)))
    return logarithm


def _weigh(logits: Floats, temperature: float, best: np.float32, values: Floats) -> Floats:
    """exp((logits - best) / temperature), written to `values`."""
    if best != 0:
        logits = np.subtract(logits, best, out=values)
    if temperature != 1:
        factor = np.float32(1 / max(temperature, chain.LEAST_TEMPERATURE))
        logits = np.multiply(logits, factor, out=values)
    return np.exp(logits, out=values)
