"""Choosing among the k most likely tokens: the compiled way takes the tokens that the chain takes."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from models.errors import UnusableOutput
from models.sampling.chain import Filters, Floats
from models.sampling.numpy_passes import NumpyPasses
from tests.models.sampling.passes_case import compiled

SHARES = (1.0, 0.9, 0.5, 0.01, 0.0)


def rows(n: int) -> dict[str, Floats]:
    source = np.random.default_rng(n)
    found = {
        "text": source.permutation(-2.0 * np.log(np.arange(1, n + 1))) + source.normal(0, 0.3, n) + 9,
        "noise": source.normal(0, 1.5, n),
        "masked": np.where(source.random(n) < 0.97, -np.inf, source.normal(0, 1.5, n)),
        "far": source.normal(0, 300, n),
    }
    found["masked"][n // 2] = 1.0
    return {kind: values.astype(np.float32) for kind, values in found.items()}


@pytest.mark.parametrize("n", [3, 500, 1025, 20_011])
@pytest.mark.parametrize("kind", rows(3))
@pytest.mark.parametrize("k", [1, 2, 40, 1000, 1024, 5000])
def test_the_same_random_numbers_choose_the_same_tokens(n: int, kind: str, k: int) -> None:
    row, ours, theirs = rows(n)[kind], compiled(n), NumpyPasses(n)
    chosen = []
    for typical_p, top_p, min_p, temperature in itertools.product(
        SHARES, SHARES[:4], (0.0, 0.05, 2.0), (0.0, 0.7, 1.0)
    ):
        filters = Filters(temperature, typical_p, top_p, min_p, k)
        source, other = random.Random(7), random.Random(7)
        for _ in range(2):
            chosen.append((ours.choose(row, filters, source), theirs.choose(row, filters, other)))
    differ = sum(a != b for a, b in chosen)
    assert differ <= (0.02 * len(chosen) if k >= 1000 else 1)  # rounding, where the last of many tokens falls out


@pytest.mark.parametrize("n", [100, 3000, 20_011])
def test_of_equal_tokens_the_first_k_are_chosen(n: int) -> None:
    row, passes, source = np.zeros(n, dtype=np.float32), compiled(n), random.Random(1)
    assert {passes.choose(row, Filters(1.0, top_k=5), source) for _ in range(200)} == {*range(5)}
    row[n // 2 :] = 1.0
    assert {passes.choose(row, Filters(1.0, top_k=5), source) for _ in range(200)} == {*range(n // 2, n // 2 + 5)}


def test_where_fewer_tokens_are_possible_only_those_are_chosen() -> None:
    row, source = np.full(2000, -np.inf, dtype=np.float32), random.Random(1)
    row[[3, 1999]] = 1.0
    assert {compiled(2000).choose(row, Filters(1.0, top_k=40), source) for _ in range(50)} == {3, 1999}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(bad: float) -> None:
    with pytest.raises(UnusableOutput):
        compiled(700).choose(np.full(700, bad, dtype=np.float32), Filters(1.0, top_k=40), random.Random(1))
