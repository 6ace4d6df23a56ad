"""The distribution over the whole vocabulary: to draw from, and to ask where a token stands in it.

Three passes over the vocabulary make it: scale, raise, and sum in blocks. Everything else looks at the sums first, and
then only into the few blocks that matter: no block holds a token heavier than its sum.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models.errors import UnusableOutput
from models.sampling.chain import LEAST_TEMPERATURE, Floats, Ids
from models.sampling.rng import draw

UNUSABLE = "the model's output is not a number"

HIGHEST = float(np.finfo(np.float32).max)
LOWEST = -HIGHEST

BLOCK = 256
_ONES = np.ones(BLOCK, dtype=np.float32)
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


class Scratch:
    """What all samplers of one thread share: buffers as large as the vocabulary, and how to divide it."""

    def __init__(self, n_vocab: int) -> None:
        self.n_vocab = n_vocab
        n_blocks = -(-n_vocab // BLOCK)
        self.table = _blocks(n_blocks)
        self.spare = _blocks(n_blocks)
        self.marks = _blocks(n_blocks)
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
    """Weights of all tokens, in proportion to their chances."""

    def __init__(self, scratch: Scratch, logits: Floats, temperature: float, *, spare: bool = False) -> None:
        """Overwrites the scratch's `table`, or its `spare` one. Raises: UnusableOutput."""
        self._scratch = scratch
        self.logits = logits
        self._table = table = scratch.spare if spare else scratch.table
        self.weights: Floats = table.reshape(-1)[: scratch.n_vocab]
        self._shift = 0.0
        self._temperature = max(temperature, LEAST_TEMPERATURE)
        self._weigh(logits)
        if not _FAINT < self.total < _BRIGHT:
            best = best_of(logits)
            self._shift = float(best)
            self._weigh(np.subtract(logits, best, out=self.weights))

    def _weigh(self, logits: Floats) -> None:
        """exp(logits / temperature), and the sums of it."""
        factor = 1 / (self._temperature * _LOG_BASE)
        with np.errstate(over="ignore"):
            scaled = logits if factor == 1 else np.multiply(logits, np.float32(factor), out=self.weights)
            _RAISE(scaled, out=self.weights)
        self._sums: Floats = self._table @ _ONES  # the fastest way to sum
        self._running: npt.NDArray[np.float64] = self._sums.cumsum(dtype=np.float64)
        self.total = float(self._running[-1])

    # ---- drawing ---------------------------------------------------------------------------------------------------

    def draw(self, source: random.Random) -> int:
        """A token, by its chance."""
        block, rest = _find(self._running, draw(source))
        return block * BLOCK + _place(self._table[block].cumsum(), rest)

    def draws(self, temperature: float, source: random.Random) -> Iterator[int]:
        """Tokens by their chances at another temperature, for a distribution at 1; any number of them.

        There a weight is w ** power. They are drawn without weighing all tokens again, unless that turns out to waste
        too many draws.
        """
        if temperature == 1:
            while True:
                yield self.draw(source)
        power, most = 1 / temperature, float(self._sums.max())
        if power > 1 and most * _FLAT > self.total:
            yield from self._thinned(power, most, source)
        elif power < _SHARP:
            yield from self._bounded(power, most, source)
        whole = Whole(self._scratch, self.logits, temperature, spare=True)
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
        shares = self._sums / np.float32(most)
        bounds = shares.astype(np.float64) ** power * (_SLACK * max(1.0, BLOCK ** (1 - power)))
        running = bounds.cumsum()
        while n_left > 0:
            block, rest = _find(running, draw(source))
            within = ((self._table[block] / np.float32(most)) ** np.float32(power)).cumsum()
            if rest < within[-1]:
                yield block * BLOCK + _place(within, rest)
            else:
                n_left -= 1

    # ---- asking ----------------------------------------------------------------------------------------------------

    def weight_at(self, logit: float) -> float:
        """What a token of this logit weighs."""
        return math.exp(min((logit - self._shift) / self._temperature, 80.0))

    def logit_at(self, weight: float) -> float:
        """The logit of a token that weighs so much; the weight is above 0."""
        return math.log(weight) * self._temperature + self._shift

    def mean_logit(self) -> float:
        """The expected logit."""
        with np.errstate(invalid="ignore"):
            mean = self.weights.dot(self.logits)
        if math.isnan(mean):  # 0 times minus infinity
            possible = np.flatnonzero(self.weights)
            mean = self.weights[possible].dot(self.logits[possible])
        return float(mean) / self.total

    def heaviest(self, least: float) -> float:
        """What the most likely token weighs; 0 if that is no more than `least`."""
        rows = self._table[self._sums > least]
        most = float(rows.max()) if len(rows) else 0.0
        return most if most > least else 0.0

    def next_heavier(self, weight: float) -> int | None:
        """The lightest of the tokens that weigh more; None: there are none."""
        blocks = (self._sums > weight).nonzero()[0]
        if _FEW * len(blocks) < len(self._sums):
            rows, places = (self._table[blocks] > np.float32(weight)).nonzero()
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
        if self.is_less(low, high, limit + weight):
            return True
        n_equal = np.count_nonzero(self.weights == np.float32(weight))
        if n_equal == 1:
            return False
        n_after = n_equal - 1 - np.count_nonzero(self.weights[:token] == np.float32(weight))
        return self._mass(slice(None), low, high) - weight * float(n_after) < limit + weight

    def is_less(self, low: float, high: float, mass: float) -> bool:
        """Whether the tokens that weigh from `low` to `high` weigh together less than `mass`."""
        sums = self._sums
        if self.total < mass:
            return True
        if self.total - sums.size * BLOCK * low > mass and self._is_more(low, high, mass):
            return False
        blocks = (sums >= low).nonzero()[0]
        if len(blocks) < len(sums) and float(sums[blocks].sum()) < mass:
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
        """Whether it follows from the sums of the blocks that they weigh more.

        No more than BLOCK tokens of a block are lighter, and none is heavier than the sum.
        """
        sums = self._sums if high >= HIGHEST else self._sums[self._sums <= high]
        return float(np.maximum(sums - np.float32(BLOCK * low), 0).sum()) > _SLACK * mass

    def _mass(self, blocks: Ids | slice, low: float, high: float) -> float:
        """What the tokens from `low` to `high` weigh that are in these blocks."""
        rows = self._table[blocks]
        marks = rows >= np.float32(low)
        if high < HIGHEST:
            marks &= rows <= np.float32(high)
        return float(rows.ravel().dot(marks.ravel().astype(np.float32)))

    def _outside(self, part: slice, low: float, high: float) -> float:
        """What the other tokens weigh that are in a part."""
        rows, marks = self._table[part].reshape(-1), self._scratch.marks[part].reshape(-1)
        if high < HIGHEST:
            np.copyto(marks, (rows < np.float32(low)) | (rows > np.float32(high)))
        else:
            np.less(rows, np.float32(low), out=marks)
        return float(marks.dot(rows))


def best_of(logits: Floats) -> np.float32:
    """The highest logit. Raises: UnusableOutput."""
    best: np.float32 = logits.max()
    if not LOWEST <= best <= HIGHEST:  # NaN compares as false
        raise UnusableOutput(UNUSABLE)
    return best


def _find(running: npt.NDArray[np.float64], u: float) -> tuple[int, float]:
    """Where the point u (0 to 1) of a running sum is: the place, and how far into it."""
    target = u * float(running[-1])
    place = int(running.searchsorted(target))
    return place, target - (float(running[place - 1]) if place else 0.0)


def _place(running: Floats, rest: float) -> int:
    """The first place where a running sum reaches `rest`, or all that there is."""
    return int(running.searchsorted(min(rest, float(running[-1]))))
