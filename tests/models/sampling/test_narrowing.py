"""Choosing among tokens that are never listed: every token has the chance that the filters are defined to give it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from bench.chances import exact_chances, judge, kinds
from models.errors import UnusableOutput
from models.runner.settings import Sampling
from models.sampling import passes as compiled_passes
from models.sampling.chain import Filters, Floats
from models.sampling.ports import Passes
from models.sampling.rng import random_source
from tests.models.sampling.passes_case import compiled, either

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


def chooser(passes: Make, n: int = N) -> Callable[[Floats, Filters], int]:
    made, source = passes(n), random_source(1)
    return lambda row, filters: made.choose(row, filters, source)


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
        choose = chooser(passes)
        return [choose(row, Filters(0.8, 0.9, 0.9, 0.01)) for row in some]

    assert run() == run()


def rows() -> dict[str, Floats]:
    two = np.where(np.arange(N) < 2, 5.0, -np.inf).astype(np.float32)
    return {**kinds(), "constant": np.zeros(N, dtype=np.float32), "two": two}


@either
@pytest.mark.parametrize("kind", rows())
@pytest.mark.parametrize("temperature", [1e-6, 0.05, 1.0, 50.0])
def test_whatever_the_options_say_there_is_a_token(passes: Make, kind: str, temperature: float) -> None:
    row = rows()[kind]
    choose, untouched = chooser(passes, len(row)), row.copy()
    shares = ((0.0, 0.01, 0.4, 0.95, 1.0), (0.0, 0.01, 0.5, 1.0), (0.0, 1e-4, 0.3, 1.0))
    for typical_p, top_p, min_p in itertools.product(*shares):
        assert row[choose(row, Filters(temperature, typical_p, top_p, min_p))] > -np.inf
    assert np.array_equal(row, untouched)


def kept_by_chain(row: Floats, filters: Filters) -> set[int]:
    """What passes, and what would if the filters were wider or narrower by what rounding makes of a weight."""
    kept: set[int] = set()
    for slack in (-1e-5, 0.0, 1e-5):
        shares = (min(share + slack, 1.0) if 0 < share < 1 else share for share in filters[1:3])
        chances = exact_chances(
            row, Sampling(1.0, top_k=0, typical_p=next(shares), top_p=next(shares), min_p=filters.min_p * (1 - slack))
        )
        kept |= {*np.flatnonzero(chances).tolist()}
    return kept


@pytest.mark.parametrize("seed", range(60))
def test_only_what_the_filters_keep_is_drawn(seed: int) -> None:
    source = np.random.default_rng(seed)
    n = int(source.integers(2, 3000))
    row = (source.standard_t(source.uniform(1.5, 30), n) * source.uniform(0.1, 4)).astype(np.float32)
    typical_p, top_p = (float(source.choice([1.0, source.random()])) for _ in range(2))
    min_p = float(source.choice([0.0, source.random() * 0.3]))
    filters = Filters(float(source.uniform(0.2, 3)), typical_p, top_p, min_p)
    choose = chooser(compiled, n)
    assert {choose(row, filters) for _ in range(400)} <= kept_by_chain(row, filters)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
def test_tokens_are_seldom_listed(monkeypatch: pytest.MonkeyPatch, kind: str, filters: dict[str, float]) -> None:
    n_listed = 0

    def chosen(*_: object) -> int:
        nonlocal n_listed
        n_listed += 1
        return 0

    monkeypatch.setattr(compiled_passes, "choose_listed", chosen)
    choose = chooser(compiled)
    for _ in range(200):
        choose(kinds()[kind], Filters(0.8, **filters))
    assert n_listed <= (200 if kind == "equal" and "typical_p" in filters else 2)


@either
def test_impossible_tokens_are_not_chosen(passes: Make) -> None:
    row = np.full(N, -np.inf, dtype=np.float32)
    row[[3, 17]] = [1.0, 2.0]
    choose = chooser(passes)
    for filters in (Filters(1.0), Filters(1.0, 1.0, 0.99, 0.1), Filters(0.7, 1.0, 0.99), Filters(1.0, 0.99, 0.99, 0.1)):
        assert {choose(row, filters) for _ in range(50)} == {3, 17}


@either
@pytest.mark.parametrize("n", [2, 513, N])
def test_the_last_token_is_chosen_where_no_other_is_possible(passes: Make, n: int) -> None:
    row = np.full(n, -np.inf, dtype=np.float32)
    row[-1] = 1.0
    choose = chooser(passes, n)
    for filters in (Filters(0.7), Filters(1.0, 1.0, 0.9, 0.1), Filters(1.5, 1.0, 0.9), Filters(1.0, 0.9, 0.9, 0.1)):
        assert choose(row, filters) == n - 1


@either
def test_of_equal_tokens_the_first_ones_are_chosen(passes: Make) -> None:
    row, choose = np.zeros(100, dtype=np.float32), chooser(passes, 100)
    for filters in (Filters(1.0, top_p=0.505), Filters(1.0, typical_p=0.505)):
        assert {choose(row, filters) for _ in range(1000)} == {*range(51)}


@either
@pytest.mark.parametrize("scale", [1e38, 1e4, 1e-30])
def test_logits_far_from_zero_are_as_good_as_others(passes: Make, scale: float) -> None:
    row = np.full(N, -scale, dtype=np.float32)
    row[4] = scale
    choose = chooser(passes)
    drawn = {choose(row, filters) for _ in range(30) for filters in (Filters(1.0), Filters(0.5, top_p=0.99))}
    assert drawn == {4} if scale > 1 else len(drawn) > 20


@either
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(passes: Make, bad: float) -> None:
    row = np.full(N, bad, dtype=np.float32)
    choose = chooser(passes)
    for filters in (Filters(1.0), Filters(1.0, min_p=0.1), Filters(1.0, top_p=0.9), Filters(1.0, typical_p=0.5)):
        with pytest.raises(UnusableOutput):
            choose(row, filters)


@either
@pytest.mark.parametrize("bad", [np.zeros(99, dtype=np.float32), np.zeros((100, 2), dtype=np.float32)[:, 0]])
def test_rows_that_are_too_short_or_in_pieces_are_refused(passes: Make, bad: Floats) -> None:
    with pytest.raises((ValueError, TypeError, BufferError)):
        chooser(passes, 100)(bad, Filters(1.0))
