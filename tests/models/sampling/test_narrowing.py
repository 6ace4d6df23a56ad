"""Choosing among tokens that are never listed: every token has the chance that the filters are defined to give it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from bench.chances import exact_chances, judge, kinds
from models.errors import UnusableOutput
from models.runner.settings import Sampling
from models.sampling.chain import Floats
from models.sampling.narrowing import Narrowing
from models.sampling.ports import Passes
from models.sampling.rng import random_source
from models.sampling.typical_range import TypicalRange
from tests.models.sampling.passes_case import either

N = 5000
N_DRAWS = 1000
"""`python -m bench.chances` makes 100,000."""

FILTERS = {
    "nothing": {},
    "top_p": {"top_p": 0.9},
    "a small top_p": {"top_p": 0.2},
    "min_p": {"min_p": 0.02},
    "top_p and min_p": {"top_p": 0.7, "min_p": 0.02},
    "typical_p": {"typical_p": 0.8},
    "a small typical_p": {"typical_p": 0.2},
    "typical_p and top_p": {"typical_p": 0.9, "top_p": 0.8},
    "typical_p and min_p": {"typical_p": 0.8, "min_p": 0.1},
    "all": {"typical_p": 0.9, "top_p": 0.9, "min_p": 0.05},
}

Make = Callable[[int], Passes]


def options(temperature: float, **filters: float) -> Sampling:
    return Sampling(seed=5, temperature=temperature, top_k=0, **{"top_p": 1.0, "min_p": 0.0, **filters})  # type: ignore[arg-type]


def narrowing(passes: Make, n: int = N) -> Narrowing:
    return Narrowing(passes(n), random_source(1))


@either
@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_every_token_has_its_chance(passes: Make, kind: str, filters: dict[str, float], temperature: float) -> None:
    row = kinds()[kind]
    verdict = judge(row, options(temperature, **filters), N_DRAWS, passes=passes(len(row)))
    assert verdict.deviation < 5 and verdict.n_forbidden == 0


def test_wrong_chances_are_noticed() -> None:
    row = kinds()["noise"]
    verdict = judge(row, options(1.0), N_DRAWS, exact_chances(row, options(1.4)))
    assert verdict.deviation > 5
    assert judge(row, options(1.0), N_DRAWS, exact_chances(row, options(1.0, top_p=0.95))).n_forbidden > 0


@either
def test_a_seed_gives_the_same_tokens_again(passes: Make) -> None:
    some = np.random.default_rng(0).normal(0, 2, (40, N)).astype(np.float32)

    def run() -> list[int]:
        chooser = narrowing(passes)
        return [chooser.typical(row, 0.9, 0.9, 0.01, 0.8) for row in some]

    assert run() == run()


def rows() -> dict[str, Floats]:
    two = np.where(np.arange(N) < 2, 5.0, -np.inf).astype(np.float32)
    return {**kinds(), "constant": np.zeros(N, dtype=np.float32), "two": two}


@either
@pytest.mark.parametrize("kind", rows())
@pytest.mark.parametrize("temperature", [1e-6, 0.05, 1.0, 50.0])
def test_whatever_the_options_say_there_is_a_token(passes: Make, kind: str, temperature: float) -> None:
    row = rows()[kind]
    chooser, untouched = narrowing(passes, len(row)), row.copy()
    for p, top_p, min_p in itertools.product((0.0, 0.01, 0.4, 0.95), (0.0, 0.01, 0.5, 1.0), (0.0, 1e-4, 0.3, 1.0)):
        for token in (
            chooser.typical(row, p, top_p, min_p, temperature),
            chooser.top_p(row, p, temperature),
            chooser.min_p(row, max(min_p, 1e-6), top_p, temperature),
            chooser.any(row, temperature),
        ):
            assert row[token] > -np.inf
    assert np.array_equal(row, untouched)


@either
@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(("top_p", "min_p"), [(1.0, 0.0), (0.8, 0.0), (1.0, 0.1), (0.6, 0.02)])
def test_what_is_kept_is_what_the_chain_keeps(passes: Make, kind: str, p: float, top_p: float, min_p: float) -> None:
    row = kinds()[kind]
    weighed = passes(len(row))
    weighed.read(row)
    weighed.weigh(1.0, with_moments=True)
    typical = TypicalRange(weighed, row, p, top_p, min_p)
    wanted = exact_chances(row, Sampling(temperature=1.0, top_k=0, typical_p=p, top_p=top_p, min_p=min_p)) > 0
    tokens = [*np.argsort(-row)[:40], *np.flatnonzero(wanted)[::25], *range(0, len(row), 90)]
    tokens = [int(token) for token in tokens if weighed.weights[token] > 0]
    assert sum(typical.keeps(token) != wanted[token] for token in tokens) <= 1  # at an edge, by rounding
    assert all(typical.low <= row[token] <= typical.high for token in np.flatnonzero(wanted))


@either
def test_impossible_tokens_are_not_chosen(passes: Make) -> None:
    row = np.full(N, -np.inf, dtype=np.float32)
    row[[3, 17]] = [1.0, 2.0]
    chooser = narrowing(passes)
    assert {chooser.any(row, 1.0) for _ in range(50)} == {3, 17}
    assert {chooser.min_p(row, 0.1, 0.99, 1.0) for _ in range(50)} == {3, 17}
    assert {chooser.top_p(row, 0.99, 0.7) for _ in range(50)} == {3, 17}
    assert {chooser.typical(row, 0.99, 0.99, 0.1, 1.0) for _ in range(50)} == {3, 17}


@either
@pytest.mark.parametrize("n", [2, 513, N])
def test_the_last_token_is_chosen_where_no_other_is_possible(passes: Make, n: int) -> None:
    row = np.full(n, -np.inf, dtype=np.float32)
    row[-1] = 1.0
    chooser = narrowing(passes, n)
    assert {chooser.any(row, 0.7), chooser.min_p(row, 0.1, 0.9, 1.0), chooser.top_p(row, 0.9, 1.5)} == {n - 1}
    assert chooser.typical(row, 0.9, 0.9, 0.1, 1.0) == n - 1


@either
def test_of_equal_tokens_the_first_ones_are_chosen(passes: Make) -> None:
    row, chooser = np.zeros(100, dtype=np.float32), narrowing(passes, 100)
    assert {chooser.top_p(row, 0.505, 1.0) for _ in range(1000)} == {*range(51)}
    assert {chooser.typical(row, 0.505, 1.0, 0.0, 1.0) for _ in range(1000)} == {*range(51)}


@either
@pytest.mark.parametrize("scale", [1e38, 1e4, 1e-30])
def test_logits_far_from_zero_are_as_good_as_others(passes: Make, scale: float) -> None:
    row = np.full(N, -scale, dtype=np.float32)
    row[4] = scale
    chooser = narrowing(passes)
    drawn = {chooser.any(row, 1.0) for _ in range(30)} | {chooser.top_p(row, 0.99, 0.5) for _ in range(30)}
    assert drawn == {4} if scale > 1 else len(drawn) > 20


@either
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(passes: Make, bad: float) -> None:
    row = np.full(N, bad, dtype=np.float32)
    chooser = narrowing(passes)
    for choose in (
        lambda: chooser.any(row, 1.0),
        lambda: chooser.min_p(row, 0.1, 1.0, 1.0),
        lambda: chooser.top_p(row, 0.9, 1.0),
        lambda: chooser.typical(row, 0.5, 1.0, 0.0, 1.0),
    ):
        with pytest.raises(UnusableOutput):
            choose()
