"""How many prompt tokens fit a step, from the measured speed of this machine.

A step that also decodes for others must not keep them waiting; one that only computes prompts may take longer, but
not so long that a cancellation or a new request is noticed late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

BESIDE_DECODING_S = 0.16
ALONE_S = 1.0
_FIRST = 64
"""Tokens of the first prefill, before anything was measured."""
_FEWEST = 16
"""Tokens of which each step computes as many in any case, and whole multiples: llama.cpp multiplies weights by four at
once, and what is left over one by one. What fewer took says little."""
_WEIGHT = 0.3

Span = tuple[int, int]
"""Tokens of a prompt: how many, and how many come before them."""


class Pace:
    """Learns what a step takes: as long as to decode for everybody, and so much more for each prompt token.

    To compute any tokens at all is to read all weights, and for threads to meet at all barriers. A token takes longer
    the more come before it.
    """

    def __init__(self) -> None:
        self._decode_s = 0.0
        self._tokens = _Line()

    @property
    def token_s(self) -> float | None:
        """Seconds per prompt token, as prompts were lately; None before anything was measured."""
        return self._tokens.mean

    def n_prefill(self, n_batch: int, *, n_before: int, beside_decoding: bool) -> int:
        """Prompt tokens that the next step may compute. `n_before`: those that the first of them attends to.

        On a machine that needs long for any step, they get at least the time that decoding takes.
        """
        if self.token_s is None:
            return min(_FIRST, n_batch)
        limit_s = BESIDE_DECODING_S - self._decode_s if beside_decoding else ALONE_S
        n = self._tokens.n_within(max(limit_s - self._decode_s, self._decode_s), n_before)
        return min(max(n - n % _FEWEST, _FEWEST), n_batch)

    def measure_decode(self, elapsed_s: float) -> None:
        """Learn from a step in which everyone had one token."""
        self._decode_s += _WEIGHT * (elapsed_s - self._decode_s)

    def measure_prompts(self, spans: Iterable[Span], elapsed_s: float) -> None:
        """Learn from a step that computed prompts, perhaps together with one token of others."""
        spans = list(spans)
        n = sum(n for n, _ in spans)
        if n >= _FEWEST and elapsed_s > 0:
            # no less than half: those who decoded lately may have been many more than there are now
            own_s = max(elapsed_s - self._decode_s, elapsed_s / 2)
            self._tokens.learn(sum(n * (n_before + n / 2) for n, n_before in spans) / n, own_s / n)


class _Line:
    """Seconds per token over the tokens before it: a straight line through what was seen lately.

    It neither falls nor begins below 0, and far from what was seen lately it expects no less than ever was.
    """

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

    def n_within(self, budget_s: float, n_before: int) -> int:
        """How many tokens after so many others are computed in that time, once something was seen.

        The n for which n * (first + slope * n / 2) is the budget.
        """
        slope = min(self._slope, self._y / self._x)
        first = max(self._y + slope * (n_before - self._x), self._least_y)
        return int(2 * budget_s / (first + math.sqrt(first**2 + 2 * slope * budget_s)))
