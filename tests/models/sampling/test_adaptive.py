"""Choosing tokens near a probability."""

from __future__ import annotations

import numpy as np

from models.runner.settings import Sampling
from models.sampling.adaptive import Adaptive
from models.sampling.chain import Candidates, Floats
from models.sampling.rng import random_source


def chooser(target: float) -> Adaptive:
    return Adaptive(Sampling(adaptive_target=target), random_source(1))


def found(*probabilities: float) -> Candidates:
    with np.errstate(divide="ignore"):
        logits: Floats = np.log(np.array(probabilities, dtype=np.float32))
    return Candidates(np.arange(len(probabilities)), logits, False)


def test_tokens_near_the_target_are_preferred() -> None:
    adaptive = chooser(0.2)
    picked = [adaptive.choose(found(0.7, 0.2, 0.06, 0.04)) for _ in range(200)]
    assert picked.count(1) > max(picked.count(0), 50)


def test_what_was_chosen_moves_the_aim_the_other_way() -> None:
    adaptive = chooser(0.5)
    for _ in range(50):
        assert adaptive.choose(found(1.0)) == 0
        adaptive.accept(0)
    assert [adaptive.choose(found(0.9, 0.1)) for _ in range(100)].count(1) > 80


def test_a_token_that_it_did_not_choose_does_not_count() -> None:
    adaptive, other = chooser(0.5), chooser(0.5)
    for _ in range(50):
        adaptive.choose(found(1.0))
        adaptive.accept(7)
    several = found(0.5, 0.3, 0.2)
    assert [adaptive.choose(several) for _ in range(50)] == [other.choose(several) for _ in range(50)]


def test_nothing_impossible_becomes_possible() -> None:
    adaptive = chooser(0.0)
    assert {adaptive.choose(found(0.5, 0.0, 0.5)) for _ in range(100)} == {0, 2}


def test_without_a_target_the_chances_are_those_of_the_tokens() -> None:
    adaptive = chooser(-1.0)
    picked = [adaptive.choose(found(0.8, 0.2)) for _ in range(2000)]
    assert 1500 < picked.count(0) < 1700
