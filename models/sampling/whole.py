"""The distribution over the whole vocabulary: to draw from, and to ask where a token stands in it.

Three passes over the vocabulary make it: scale logits to scores, raise a base to them, and sum in blocks. Everything
else looks at the sums first, and then only into the few blocks that matter: no token is heavier than its block's sum.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from models.sampling.chain import LEAST_TEMPERATURE, Floats, Ids
from models.sampling.passes import Passes, library
from models.sampling.rng import draw
from models.sampling.usable import HIGHEST, best_of

BLOCK = 256
_GROUP = 32
"""Blocks whose sums are summed."""
_ONES, _ONES_OF_GROUP = np.ones(BLOCK, dtype=np.float32), np.ones(_GROUP, dtype=np.float32)
_LINE_BYTES = 64
_FAINT, _BRIGHT = 1e-3, 1e30
"""Between these a sum of weights is as precise as if the best logit had been subtracted from all."""
_REJECTED = 6
_SHARP, _FLAT = 1.5, 6
"""The power from which bounds are useless; blocks of which none has a good part of the weight."""
_SLACK = 1.0001
"""More than rounding can make of 1."""
_FEW = 4
"""Looking into one block in so many is quicker than going through all."""
_COLUMNS = 4096
"""About so many; a divisor of the vocabulary's size where there is one, so that nothing is left over."""


def _has_vector_exp2() -> bool:
    """Whether numpy raises 2 faster than e: only with AVX-512, where the former takes half the time."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return sys.platform == "linux" and bool({"AVX512_SKX", "X86_V4"} & {*simd["baseline"], *simd["found"]})


_RAISE, _LOG_BASE = (np.exp2, math.log(2)) if _has_vector_exp2() else (np.exp, 1.0)


class Table:
    """Room for the weights of all tokens, and for their sums."""

    def __init__(self, n_vocab: int) -> None:
        n_blocks = -(-n_vocab // BLOCK)
        self.blocks = _blocks(n_blocks)
        self.weights: Floats = self.blocks.reshape(-1)[:n_vocab]
        sums = np.zeros((-(-n_blocks // _GROUP), _GROUP), dtype=np.float32)
        self.sums: Floats = sums.reshape(-1)[:n_blocks]
        self.groups = sums


class Scratch:
    """What all samplers of one thread share: buffers as large as the vocabulary, and how to divide it."""

    def __init__(self, n_vocab: int, *, is_compiled: bool = True) -> None:
        """`is_compiled`: compiled passes are used, where there are some."""
        self.n_vocab = n_vocab
        compiled = library() if is_compiled else None
        self.passes = None if compiled is None else Passes(n_vocab, compiled)
        n_blocks = -(-n_vocab // BLOCK)
        self.table, self.spare = Table(n_vocab), Table(n_vocab)
        self.marks = _blocks(n_blocks)
        self.scores: Floats = _blocks(n_blocks).reshape(-1)[:n_vocab]
        self.n_columns = _columns(n_vocab)
        ends = [0, n_blocks // 8, n_blocks // 4, n_blocks // 2, n_blocks]
        self.parts = [slice(start, end) for start, end in itertools.pairwise(ends)]


def _blocks(n_blocks: int) -> Floats:
    """Zeros, (n_blocks, BLOCK); no memory until they are written to. Aligned, which saves some microseconds a pass."""
    n = n_blocks * BLOCK
    values = np.zeros(n + _LINE_BYTES // 4, dtype=np.float32)
    first = -values.ctypes.data % _LINE_BYTES // 4
    return values[first : first + n].reshape(n_blocks, BLOCK)


def _columns(n_vocab: int) -> int:
    fitting = [n for n in range(_COLUMNS // 2, 2 * _COLUMNS) if n_vocab % n == 0]
    return min(fitting, key=lambda n: abs(n - _COLUMNS), default=_COLUMNS)


class Whole:
    """Weights of all tokens, in proportion to their chances.

    `scores` are the logits in another unit and perhaps moved, so that a weight is the base raised to the score.
    """

    def __init__(
        self, scratch: Scratch, logits: Floats, temperature: float, *, overwrites: bool = False, spare: bool = False
    ) -> None:
        """Uses the scratch's `table` and `scores`, or its `spare` table alone. Raises: UnusableOutput.

        `overwrites`: the scores take the place of the logits, which is quicker than writing them elsewhere.
        """
        self._scratch = scratch
        self._table = table = scratch.spare if spare else scratch.table
        self.weights = table.weights
        self._unit = max(temperature, LEAST_TEMPERATURE) * _LOG_BASE
        scores = logits if overwrites else table.weights if spare else scratch.scores
        with np.errstate(over="ignore"):
            self.scores = logits if self._unit == 1 else np.multiply(logits, np.float32(1 / self._unit), out=scores)
            self._weigh()
            if not _FAINT < self.total < _BRIGHT:
                if spare:
                    np.multiply(logits, np.float32(1 / self._unit), out=scores)
                self.scores = np.subtract(self.scores, best_of(self.scores), out=scores)
                self._weigh()

    def _weigh(self) -> None:
        """Raise the base to the scores, and sum."""
        table = self._table
        _RAISE(self.scores, out=table.weights)
        np.matmul(table.blocks, _ONES, out=table.sums)  # the fastest way to sum
        self._running = list(itertools.accumulate((table.groups @ _ONES_OF_GROUP).tolist()))
        self.total: float = self._running[-1]

    def logits_of(self, tokens: Ids) -> Floats:
        """Logits of tokens, all of them perhaps moved by the same amount."""
        return self.scores[tokens] * np.float32(self._unit)

    # ---- drawing ---------------------------------------------------------------------------------------------------

    def draw(self, source: random.Random) -> int:
        """A token, by its chance."""
        table = self._table
        group, rest = _find(self._running, draw(source) * self.total)
        among, rest = _find(list(itertools.accumulate(table.groups[group].tolist())), rest)
        block = group * _GROUP + among
        running = table.blocks[block].cumsum()
        return block * BLOCK + int(running.searchsorted(min(rest, float(running[-1]))))

    def draws(self, temperature: float, source: random.Random) -> Iterator[int]:
        """Tokens by their chances at another temperature, for a distribution at 1; any number of them.

        There a weight is w ** power. They are drawn without weighing all tokens again, unless that turns out to waste
        too many draws.
        """
        if temperature == 1:
            while True:
                yield self.draw(source)
        power, most = 1 / temperature, float(self._table.sums.max())
        if power > 1 and most * _FLAT > self.total:
            yield from self._thinned(power, most, source)
        elif power < _SHARP:
            yield from self._bounded(power, most, source)
        whole = Whole(self._scratch, self.scores, temperature / _LOG_BASE, spare=True)
        while True:
            yield whole.draw(source)

    def _thinned(self, power: float, most: float, source: random.Random) -> Iterator[int]:
        """Draws of which the less likely ones are dropped the more often; ends when many were."""
        n_left = _REJECTED
        while n_left > 0:
            token = self.draw(source)
            if source.random() < (float(self.weights[token]) / most) ** (power - 1):
                yield token
            else:
                n_left -= 1

    def _bounded(self, power: float, most: float, source: random.Random) -> Iterator[int]:
        """Draws of blocks by bounds of what they weigh, and then of their tokens; ends when many bounds were too large.

        A block weighs at most `sum ** power`, for a power below 1 `BLOCK ** (1 - power)` times as much. One of its
        tokens is drawn, or, by what the bound was too large, nothing.
        """
        n_left = _REJECTED
        shares = self._table.sums / np.float32(most)
        bounds = shares.astype(np.float64) ** power * (_SLACK * max(1.0, BLOCK ** (1 - power)))
        running = bounds.cumsum().tolist()
        while n_left > 0:
            block, rest = _find(running, draw(source) * running[-1])
            within = ((self._table.blocks[block] / np.float32(most)) ** np.float32(power)).cumsum()
            if rest < within[-1]:
                yield block * BLOCK + int(within.searchsorted(rest))
            else:
                n_left -= 1

    # ---- asking ----------------------------------------------------------------------------------------------------

    def weight_at(self, score: float) -> float:
        """What a token of this score weighs."""
        return math.exp(min(score * _LOG_BASE, 80.0))

    def score_at(self, weight: float) -> float:
        """The score of a token that weighs so much; the weight is above 0."""
        return math.log(weight) / _LOG_BASE

    def mean_score(self) -> float:
        """The expected score."""
        with np.errstate(invalid="ignore"):
            mean = self.weights.dot(self.scores)
        if math.isnan(mean):  # 0 times minus infinity
            possible = np.flatnonzero(self.weights)
            mean = self.weights[possible].dot(self.scores[possible])
        return float(mean) / self.total

    def heaviest(self, least: float) -> float:
        """What the most likely token weighs; 0 if that is no more than `least`."""
        rows = self._table.blocks[self._table.sums > least]
        most = float(rows.max()) if len(rows) else 0.0
        return most if most > least else 0.0

    def next_heavier(self, weight: float) -> int | None:
        """The lightest of the tokens that weigh more; None: there are none."""
        blocks = (self._table.sums > weight).nonzero()[0]
        if _FEW * len(blocks) < len(self._table.sums):
            rows, places = (self._table.blocks.take(blocks, axis=0) > np.float32(weight)).nonzero()
            ids = blocks[rows] * BLOCK + places
        else:
            ids = np.flatnonzero(self.weights > np.float32(min(weight, HIGHEST)))
        return int(ids[self.weights[ids].argmin()]) if len(ids) else None

    def comes_within(self, token: int, low: float, high: float, limit: float) -> bool:
        """Whether the tokens that come before one weigh less than `limit`.

        Those come before it that weigh more than `low` and less than `high`, one of which is the token's own weight;
        and of those of its own weight the ones with lower ids.
        """
        weight = float(self.weights[token])
        mass = limit + weight
        if self.total < mass:
            return True
        if self._is_more(low, high, mass):
            return False  # even without those of its own weight
        if self._is_less(low, high, mass):
            return True
        equal = self._of_weight(np.float32(weight))
        if len(equal) == 1:
            return False
        n_after = float(np.count_nonzero(equal > token))
        return self._mass(slice(None), low, high) - weight * n_after < mass

    def is_less(self, low: float, high: float, mass: float) -> bool:
        """Whether the tokens that weigh from `low` to `high` weigh together less than `mass`."""
        return self.total < mass or (not self._is_more(low, high, mass) and self._is_less(low, high, mass))

    def _is_less(self, low: float, high: float, mass: float) -> bool:
        sums = self._table.sums
        blocks = (sums >= low).nonzero()[0]
        if len(blocks) < len(sums) and float(sums.take(blocks).sum()) < mass:
            return True  # there are none in the other blocks
        if _FEW * len(blocks) < len(sums):
            return self._mass(blocks, low, high) < mass
        left = self.total
        for part in self._scratch.parts:
            left -= self._outside(part, low, high)
            if left < mass:
                return True
        return False

    def _is_more(self, low: float, high: float, mass: float) -> bool:
        """Whether it follows from the sums of the blocks that those between `low` and `high` weigh more.

        No more than BLOCK tokens of a block are lighter, and none is heavier than the sum.
        """
        sums = self._table.sums
        if self.total - sums.size * BLOCK * low <= mass:
            return False
        if high < HIGHEST:
            sums = sums[sums < high]
        return float(np.maximum(sums - np.float32(BLOCK * low), 0).sum()) > _SLACK * mass

    def _of_weight(self, weight: np.float32) -> Ids:
        """The tokens that weigh just that."""
        blocks = (self._table.sums >= weight).nonzero()[0]
        if _FEW * len(blocks) >= len(self._table.sums):
            return np.flatnonzero(self.weights == weight)
        rows, places = (self._table.blocks.take(blocks, axis=0) == weight).nonzero()
        ids: Ids = blocks[rows] * BLOCK + places
        return ids

    def _mass(self, blocks: Ids | slice, low: float, high: float) -> float:
        """What the tokens from `low` to `high` weigh that are in these blocks."""
        rows = self._table.blocks[blocks].ravel()
        marks = rows >= np.float32(low)
        if high < HIGHEST:
            marks &= rows <= np.float32(high)
        return float(rows.dot(marks))

    def _outside(self, part: slice, low: float, high: float) -> float:
        """What the other tokens weigh that are in a part."""
        rows, marks = self._table.blocks[part].reshape(-1), self._scratch.marks[part].reshape(-1)
        if high < HIGHEST:
            np.copyto(marks, (rows < np.float32(low)) | (rows > np.float32(high)))
        else:
            np.less(rows, np.float32(low), out=marks)
        return float(marks.dot(rows))


def _find(running: Sequence[float], target: float) -> tuple[int, float]:
    """Where a point of a running sum is: the place, and how far into it; where it ends, beyond that."""
    place = bisect.bisect_left(running, min(target, running[-1]))
    return place, target - (running[place - 1] if place else 0.0)
