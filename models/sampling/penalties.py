"""Repetition, presence and frequency penalties over the last tokens of a sequence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from models.runner.settings import Sampling
from models.sampling.chain import Candidates, Floats


def is_active(options: Sampling) -> bool:
    """Whether these options change any logit."""
    return options.repeat_last_n > 0 and (
        options.repeat_penalty != 1 or options.presence_penalty != 0 or options.frequency_penalty != 0
    )


class Penalties:
    """Counts the tokens in a sliding window and lowers their logits.

    Only tokens in the window are touched, never the whole vocabulary. Source: llama.cpp's sampler "penalties".
    """

    def __init__(self, last_n: int, repeat: float, frequency: float, presence: float) -> None:
        self._window: deque[int] = deque(maxlen=last_n)
        self._repeat = np.float32(repeat)
        self._frequency = np.float32(frequency)
        self._presence = np.float32(presence)
        self._row_of: dict[int, int] = {}
        self._tokens = np.zeros(min(last_n, 64), dtype=np.int64)  # rows 0 … len(_row_of) - 1 are in use
        self._counts = np.zeros(len(self._tokens), dtype=np.float32)

    def accept_all(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self.accept(token)

    def accept(self, token: int) -> None:
        """Move the window on by one token."""
        if len(self._window) == self._window.maxlen:
            self._drop(self._window[0])
        self._window.append(token)
        row = self._row_of.get(token)
        if row is None:
            row = self._row_of[token] = len(self._row_of)
            if row == len(self._tokens):
                self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._tokens[row] = token
            self._counts[row] = 0
        self._counts[row] += 1

    def _drop(self, token: int) -> None:
        row = self._row_of[token]
        self._counts[row] -= 1
        if self._counts[row] > 0:
            return
        del self._row_of[token]
        last = len(self._row_of)
        if row != last:  # the last row fills the gap
            moved = int(self._tokens[last])
            self._tokens[row], self._counts[row] = moved, self._counts[last]
            self._row_of[moved] = row

    def apply(self, logits: Floats) -> None:
        """Lower the logits of the tokens in the window, in place."""
        n = len(self._row_of)
        if n == 0:
            return
        tokens = self._tokens[:n]
        logits[tokens] = self._lowered(logits[tokens], self._counts[:n])

    def apply_to(self, candidates: Candidates) -> Candidates:
        """The same for candidates; their order may no longer be that of likelihood."""
        n = len(self._row_of)
        places = np.flatnonzero(np.isin(candidates.ids, self._tokens[:n]))
        rows = [self._row_of[token] for token in candidates.ids[places].tolist()]
        logits = candidates.logits.copy()
        logits[places] = self._lowered(logits[places], self._counts[rows])
        return Candidates(candidates.ids, logits, False)

    def _lowered(self, values: Floats, counts: Floats) -> Floats:
        if self._repeat != 1:
            # Positive logits are divided, others multiplied: of the two results always the lower one, or, for a penalty
            # below 1, the higher one.
            lower = np.minimum if self._repeat > 1 else np.maximum
            values = lower(values * self._repeat, values / self._repeat)
        if self._frequency == 0:
            return values - self._presence if self._presence != 0 else values
        return values - (counts * self._frequency + self._presence)
