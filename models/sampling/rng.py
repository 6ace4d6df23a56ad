"""Random numbers for sampling: with the same seed, the same as llama.cpp's."""

from __future__ import annotations

import random

_N, _INIT = 624, 1812433253
_SCALE = 2.0**-64
_SINGLE_SCALE = 2.0**-32
_BELOW_ONE = 2**32 - 2**8
"""The largest that is not rounded up to 1."""


def random_source(seed: int | None) -> random.Random:
    """A Mersenne Twister; None: seeded by the system.

    Source: std::mt19937's initialisation from one 32-bit number (init_genrand of the reference implementation).
    Python's own `seed` mixes its argument differently.
    """
    if seed is None:
        return random.Random()
    word = seed & 0xFFFFFFFF
    state = [word]
    for i in range(1, _N):
        word = (_INIT * (word ^ (word >> 30)) + i) & 0xFFFFFFFF
        state.append(word)
    source = random.Random(0)
    source.setstate((3, (*state, _N), None))
    return source


def draw(source: random.Random) -> float:
    """A number from 0 up to 1. Source: std::uniform_real_distribution<double>, two words, the low one first."""
    return number_of(source.getrandbits(64))


def number_of(bits: int) -> float:
    """The same, made of 64 of them."""
    return bits * _SCALE


def draw_among(n: int, source: random.Random) -> float:
    """The same, to choose one of n. Source: std::discrete_distribution: nothing is drawn where there is no choice."""
    return draw(source) if n > 1 else 0.0


def draw_single(source: random.Random) -> float:
    """The same in single precision. Source: std::uniform_real_distribution<float>, one word."""
    return min(source.getrandbits(32), _BELOW_ONE) * _SINGLE_SCALE
