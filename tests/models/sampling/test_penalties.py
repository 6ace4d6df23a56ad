"""Repetition, presence and frequency penalties."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from models.sampling.penalties import Penalties


def penalized(tokens: list[int], logits: list[float], last_n: int = 64, **options: float) -> list[float]:
    penalties = Penalties(
        last_n, options.get("repeat", 1.0), options.get("frequency", 0.0), options.get("presence", 0.0)
    )
    penalties.accept_all(tokens)
    values = np.array(logits, dtype=np.float32)
    penalties.apply(values)
    return values.tolist()


def test_repetition_divides_positive_logits_and_multiplies_negative_ones() -> None:
    assert penalized([0, 1], [2.0, -2.0, 2.0], repeat=2.0) == [1.0, -4.0, 2.0]
    assert penalized([0, 1], [2.0, -2.0, 2.0], repeat=0.5) == [4.0, -1.0, 2.0]
    assert penalized([0, 1], [2.0, -np.inf, 2.0], repeat=2.0) == [1.0, -np.inf, 2.0]


def test_presence_counts_once_and_frequency_every_time() -> None:
    assert penalized([0, 0, 1], [5.0, 5.0, 5.0], presence=1.0) == [4.0, 4.0, 5.0]
    assert penalized([0, 0, 1], [5.0, 5.0, 5.0], frequency=1.0) == [3.0, 4.0, 5.0]


def test_only_the_last_tokens_count() -> None:
    assert penalized([0, 1, 2], [5.0, 5.0, 5.0], last_n=1, presence=1.0) == [5.0, 5.0, 4.0]


def test_nothing_happens_before_the_first_token() -> None:
    assert penalized([], [5.0, 5.0], presence=1.0) == [5.0, 5.0]


@pytest.mark.parametrize("last_n", [1, 5, 64, 200])
def test_the_window_is_counted_right_however_long_it_runs(last_n: int) -> None:
    source = random.Random(last_n)
    penalties = Penalties(last_n, 1.0, 1.0, 0.0)
    seen: list[int] = []
    for _ in range(600):
        token = source.randrange(150)
        penalties.accept(token)
        seen.append(token)
        logits = np.zeros(150, dtype=np.float32)
        penalties.apply(logits)
        counted = Counter(seen[-last_n:])
        assert logits.tolist() == [-float(counted[token]) for token in range(150)]
