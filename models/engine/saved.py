"""Computed states in host memory: a prefix cache larger than the context.

A state is copied out of the context when its cells are needed for something else, and, for models whose state cannot
go back, at the places where a later prompt is likely to part from this one. It comes back if that is faster than
computing its tokens again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from models.engine.ports import Blob, Tokens
from models.runner.settings import AdapterSet

LEAST_TOKENS = 64
"""Fewer are computed in no time."""
_FIRST_BYTE_S = 1e-9
_WEIGHT = 0.3
_SAVING_MUST_PAY = 4.0
"""How many times its cost a copy must be worth: it is copied twice, and perhaps nobody asks for it."""
_MANY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """The state after `tokens`. `low`: from this position on it is complete."""

    tokens: Tokens
    blob: Blob = field(repr=False)
    low: int
    adapters: AdapterSet = ()

    @property
    def n_computed(self) -> int:
        return len(self.tokens)

    n_reusable = n_computed

    @property
    def size_bytes(self) -> int:
        return self.blob.nbytes + self.tokens.nbytes


class SavedStates:
    """The states that are kept, up to a number of bytes; the least recently used goes first."""

    def __init__(
        self,
        limit_bytes: int,
        *,
        token_s: Callable[[], float | None] = lambda: None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`token_s`: what computing a prompt's token takes, if that is known already."""
        self._limit_bytes = limit_bytes
        self._token_s = token_s
        self._clock_ns = clock_ns
        self._states: OrderedDict[SavedState, None] = OrderedDict()
        self._byte_s = _FIRST_BYTE_S
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    @property
    def is_on(self) -> bool:
        return self._limit_bytes > 0

    def is_worth_saving(self, n_tokens: int, size_bytes: int) -> bool:
        """Whether to copy out a state of this size, for the `n_tokens` that would be lost without it."""
        if n_tokens < LEAST_TOKENS or not self.has_room_for(size_bytes):
            return False
        return self._is_faster(n_tokens, size_bytes * _SAVING_MUST_PAY)

    def is_worth_moving(self, n_tokens: int, size_bytes: int) -> bool:
        """Whether copying a state out and in again is faster than computing the `n_tokens` of it that are needed."""
        return self._is_faster(n_tokens, size_bytes * 2)

    def moving_s(self, size_bytes: int) -> float:
        """Seconds to copy a state out and in again."""
        return size_bytes * 2 * self._byte_s

    def has_room_for(self, size_bytes: int) -> bool:
        """Whether a state of this size can be kept at all."""
        return size_bytes <= self._limit_bytes

    def is_worth_restoring(self, state: SavedState, n_tokens: int) -> bool:
        """Whether copying the state back is faster than computing the `n_tokens` that it saves."""
        return self._is_faster(n_tokens, state.size_bytes)

    def _is_faster(self, n_tokens: int, n_bytes: float) -> bool:
        token_s = self._token_s()
        return token_s is None or n_bytes * self._byte_s < n_tokens * token_s

    def add(self, state: SavedState) -> list[SavedState]:
        """Keep a state; returns those that had to go."""
        gone = []
        while self._states and self.size_bytes + state.size_bytes > self._limit_bytes:
            oldest = next(iter(self._states))
            self.drop(oldest)
            gone.append(oldest)
        self._states[state] = None
        self.size_bytes += state.size_bytes
        return gone

    def drop(self, state: SavedState) -> None:
        del self._states[state]
        self.size_bytes -= state.size_bytes

    def touch(self, state: SavedState) -> None:
        """It was of use."""
        self._states.move_to_end(state)

    def measure(self, n_bytes: int, started_ns: int) -> None:
        """Learn from a copy, either way, what a byte takes."""
        if n_bytes >= _MANY_BYTES:
            self._byte_s += _WEIGHT * ((self._clock_ns() - started_ns) / 1e9 / n_bytes - self._byte_s)

    def now_ns(self) -> int:
        return self._clock_ns()
