"""How many prompt tokens fit a step, from the measured speed of this machine.

A step that also decodes for others must not keep them waiting; one that only computes prompts may take longer, but
not so long that a cancellation or a new request is noticed late.
"""

from __future__ import annotations

BESIDE_DECODING_S = 0.1
ALONE_S = 0.5
_LEAST = 16
"""Tokens below which a prefill computes hardly less per step, and of which each step does as many in any case."""
_TILE = 64
"""llama.cpp's attention on processors computes so many tokens of a batch together, and fewer one by one: 32 tokens take
a third more each than 64, so a budget that is nearly enough is stretched."""
_STRETCH = 1.6
_FIRST = 64
"""Tokens of the first prefill, before anything was measured."""
_WEIGHT = 0.3


class Pace:
    """Learns the seconds per prompt token and per decode step."""

    def __init__(self) -> None:
        self._token_s: float | None = None
        self._decode_s = 0.0

    @property
    def token_s(self) -> float | None:
        """Seconds per prompt token; None before anything was measured."""
        return self._token_s

    def n_prefill(self, n_decoding: int, n_batch: int) -> int:
        """Prompt tokens that the next step may compute."""
        if self._token_s is None:
            return min(_FIRST, n_batch)
        budget_s = BESIDE_DECODING_S - self._decode_s if n_decoding else ALONE_S
        n = int(budget_s / self._token_s)
        if n < _TILE <= n * _STRETCH:
            n = _TILE
        return max(_LEAST, min(n_batch, n))

    def measure(self, n_decoding: int, n_prefill: int, elapsed_s: float) -> None:
        """Learn from a step."""
        if n_prefill == 0:
            self._decode_s += _WEIGHT * (elapsed_s - self._decode_s)
        elif n_prefill >= _LEAST:
            token_s = max(elapsed_s - (self._decode_s if n_decoding else 0.0), elapsed_s / 2) / n_prefill
            self._token_s = token_s if self._token_s is None else self._token_s + _WEIGHT * (token_s - self._token_s)
