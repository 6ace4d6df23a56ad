"""Log-probabilities of tokens, as clients see them: of the model's own distribution, before penalties and filters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.sampling.chain import Floats

NO_CHANCE = float(np.finfo(np.float32).min)
"""Compat: llama.cpp's server, completion_token_output::logarithm, gives this in place of minus infinity."""


class LogProbs:
    """The distribution of one step, kept because sampling changes the logits."""

    def __init__(self, logits: Floats, n_top: int) -> None:
        best = logits.max()
        self._weights = np.exp(logits - best)
        self._total = self._weights.sum()
        self.top = _most_likely(logits, n_top)

    def of(self, token: int) -> float:
        """Natural logarithm of a token's probability in single precision, so 0 below about e^-103."""
        probability = self._weights[token] / self._total
        return float(np.log(probability)) if probability > 0 else NO_CHANCE


def _most_likely(logits: Floats, n: int) -> Sequence[int]:
    """The n most likely tokens, the best first."""
    if n <= 0:
        return ()
    n = min(n, len(logits))
    best = np.argpartition(logits, len(logits) - n)[len(logits) - n :]
    return [int(token) for token in best[np.argsort(-logits[best], kind="stable")]]
