"""How many prompt tokens fit a step, from the measured speed of this machine.

A step that also decodes for others must not keep them waiting; one that only computes prompts may take longer, but
not so long that a cancellation or a new request is noticed late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain

BESIDE_DECODING_S = 0.18
ALONE_S = 1.0
_LONG_S = 0.27
_WORTH_IT_S = 0.54
"""Where steps of few tokens take longer than the first, one may take up to the second: a machine that is busy with
something else takes hardly less for few tokens than for many (135M: 16 in 0.29 s, 64 in 0.45 s)."""
_STRETCH_S = 0.02
"""So much longer may a step take for a whole tile instead of a part of one."""
_LEAST = 16
"""Tokens of which each step does as many in any case, and below which a measured speed says little."""
_TILE = 64
"""llama.cpp's attention on processors computes so many tokens of a sequence together, and fewer one by one."""
_UNTILED = 2.0
"""How many times as long attention takes one by one, per token and cell: 1.86 µs against 0.90 (135M, two cores). It is
what to expect of few tokens until some were measured."""
_FEWER = (48, 32, 24)
_FIRST = 64
"""Tokens of the first prefill, before anything was measured."""
_WEIGHT = 0.3

Span = tuple[int, int]
"""Tokens of a prompt: how many, and how many come before them."""


class Pace:
    """Learns what a step takes: to decode for everybody, and per prompt token, by what comes before it."""

    def __init__(self) -> None:
        self._decode_s = 0.0
        self._tiles = _Line()
        self._few = _Line()
        """Of steps that had less than a tile in all."""
        self._few_s = 0.0
        """What such steps took lately, however few tokens they had."""

    @property
    def token_s(self) -> float | None:
        """Seconds per prompt token, as prompts were lately; None before anything was measured."""
        return self._few.mean if self._tiles.mean is None else self._tiles.mean

    def n_prefill(self, n_batch: int, *, n_before: int, n_left: int, beside_decoding: bool) -> int:
        """Prompt tokens that the next step may compute.

        `n_before`: those that the first of them attends to; `n_left`: how many its prompt has left. Where nobody waits,
        no part of a tile is left for a step of its own.
        """
        if self.token_s is None:
            return min(_FIRST, n_batch)
        if not beside_decoding:
            n = self._most(n_batch, n_before, ALONE_S)
            is_nearly_all = n < n_left < n + min(_TILE, n // 4)
            return min(n_left if is_nearly_all else n, n_batch)
        n = self._most(n_batch, n_before, BESIDE_DECODING_S - self._decode_s)
        if n <= _LEAST and self._few_s > _LONG_S:
            n = self._most(n_batch, n_before, _WORTH_IT_S - self._decode_s)
        return n

    def _most(self, n_batch: int, n_before: int, budget_s: float) -> int:
        """As many tokens as take so long, and the fewest in any case."""
        for n in chain(range(n_batch - n_batch % _TILE, 0, -_TILE), _FEWER):
            if self._takes_s(n, n_before) <= budget_s + (_STRETCH_S if n == _TILE else 0.0):
                return min(n, n_batch)
        return min(_LEAST, n_batch)

    def measure_decode(self, elapsed_s: float) -> None:
        """Learn from a step in which everyone had one token."""
        self._decode_s += _WEIGHT * (elapsed_s - self._decode_s)

    def measure_prompts(self, spans: Iterable[Span], elapsed_s: float, *, beside_decoding: bool) -> None:
        """Learn from a step that computed prompts, perhaps together with one token of others."""
        spans = list(spans)
        n = sum(n for n, _ in spans)
        if n >= _LEAST:
            own_s = max(elapsed_s - self._decode_s, elapsed_s / 2) if beside_decoding else elapsed_s
            if n < _TILE:
                self._few_s += _WEIGHT * (own_s - self._few_s)
            line = self._tiles if n >= _TILE else self._few
            line.learn(sum(n * _attended(n, n_before) for n, n_before in spans) / n, own_s / n)

    def _takes_s(self, n: int, n_before: int) -> float:
        """A token of a tile takes no longer than one of few, whatever was seen when tiles were last computed."""
        x = _attended(n, n_before)
        known = [line for line in (self._tiles, self._few) if line.mean is not None]
        return n * (min(line.at(x) for line in known) if n >= _TILE else known[-1].at(x))


def _attended(n: int, n_before: int) -> float:
    """Cells that each of so many tokens looks at on average, one by one counted as what it costs."""
    return (n_before + n / 2) * (1.0 if n >= _TILE else _UNTILED)


class _Line:
    """y over x, a straight line through what was seen lately that neither falls nor begins below 0."""

    _DECAY = 0.9
    _LEAST_VARIANCE = 64.0**2
    """Of x, below which nothing can be said about the slope."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._x = self._y = self._xx = self._xy = 0.0
        self._slope = 0.0
        self._least_y = math.inf

    def learn(self, x: float, y: float) -> None:
        self._least_y = min(self._least_y, y)
        self._weight = self._weight * self._DECAY + 1
        share = 1 / self._weight
        self._x += share * (x - self._x)
        self._y += share * (y - self._y)
        self._xx += share * (x * x - self._xx)
        self._xy += share * (x * y - self._xy)
        if (variance := self._xx - self._x**2) >= self._LEAST_VARIANCE:
            self._slope = max(0.0, (self._xy - self._x * self._y) / variance)

    @property
    def mean(self) -> float | None:
        """What was seen lately; None before anything was."""
        return self._y if self._weight else None

    def at(self, x: float) -> float:
        """What is to be expected, once something was seen: far from what was seen lately, no less than ever was."""
        slope = min(self._slope, self._y / self._x) if self._x else 0.0
        return max(self._y + slope * (x - self._x), self._least_y)
