"""The neighbours of numbers of single precision."""

from __future__ import annotations

import numpy as np

_HALF_A_STEP = 0.6 * 2.0**-23


def next_up(weight: float) -> float:
    """What the next larger number of single precision is rounded from; nothing below the normal numbers."""
    return weight * (1 + _HALF_A_STEP)


def next_down(weight: float) -> float:
    """The same for the next smaller one."""
    return weight * (1 - _HALF_A_STEP)


def logit_above(logit: float) -> float:
    """The next higher logit that there can be."""
    return float(np.nextafter(np.float32(logit), np.float32(np.inf)))


def logit_below(logit: float) -> float:
    """The next lower one."""
    return float(np.nextafter(np.float32(logit), np.float32(-np.inf)))
