"""Logits that a token can be chosen from: the best one is a number."""

from __future__ import annotations

import numpy as np

from models.errors import UnusableOutput
from models.sampling.chain import Floats

UNUSABLE = "the model's output is not a number"

HIGHEST = float(np.finfo(np.float32).max)
LOWEST = -HIGHEST


def best_of(logits: Floats) -> np.float32:
    """The highest logit. Raises: UnusableOutput."""
    best: np.float32 = logits.max()
    if not LOWEST <= best <= HIGHEST:  # NaN compares as false
        raise UnusableOutput(UNUSABLE)
    return best
