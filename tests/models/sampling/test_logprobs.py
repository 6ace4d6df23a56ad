"""Log-probabilities as clients see them."""

from __future__ import annotations

import numpy as np
import pytest

from models.sampling.logprobs import NO_CHANCE, LogProbs


def test_they_are_those_of_the_whole_distribution() -> None:
    probs = LogProbs(np.log(np.array([0.1, 0.6, 0.3], dtype=np.float32)), 2)
    assert probs.top == [1, 2]
    assert [probs.of(token) for token in range(3)] == pytest.approx(np.log([0.1, 0.6, 0.3]), abs=1e-6)


def test_they_stay_what_they_were_when_sampling_changes_the_logits() -> None:
    logits = np.array([0.0, 1.0], dtype=np.float32)
    probs = LogProbs(logits, 0)
    logits[:] = -np.inf
    assert probs.of(1) == pytest.approx(-0.3133, abs=1e-4)


def test_what_has_no_chance_gets_the_smallest_number_not_infinity() -> None:
    assert LogProbs(np.array([0.0, -200.0], dtype=np.float32), 0).of(1) == NO_CHANCE == float(np.float32(-3.4028235e38))


def test_more_alternatives_than_tokens_are_all_of_them() -> None:
    assert LogProbs(np.array([1.0, 3.0, 2.0], dtype=np.float32), 20).top == [1, 2, 0]
    assert LogProbs(np.array([1.0, 3.0, 2.0], dtype=np.float32), 0).top == ()
