"""The filters, on candidates given by their probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from bench.chances import exact_chances, kinds
from models.runner.settings import Sampling
from models.sampling import chain
from models.sampling.chain import Candidates


def candidates(*probabilities: float) -> Candidates:
    with np.errstate(divide="ignore"):
        logits = np.log(np.array(probabilities, dtype=np.float32))
    return Candidates(np.arange(len(probabilities)), logits, False)


def test_top_k_keeps_the_most_likely_in_order() -> None:
    assert chain.top_k(candidates(0.1, 0.4, 0.2, 0.3), 2).ids.tolist() == [1, 3]


def test_equal_tokens_are_ordered_by_id() -> None:
    assert chain.top_k(candidates(0.2, 0.2, 0.2, 0.4), 3).ids.tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, [1]), (0.4, [1]), (0.41, [1, 3]), (0.7, [1, 3]), (0.95, [1, 3, 2, 0]), (1.0, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_fewest_that_reach_it(p: float, expected: list[int]) -> None:
    assert chain.top_p(candidates(0.1, 0.4, 0.2, 0.3), p).ids.tolist() == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, [0, 1, 2, 3]), (0.3, [1, 2, 3]), (0.6, [1, 3]), (1.0, [1]), (1.5, [1])]
)
def test_min_p_keeps_what_is_likely_enough_beside_the_best(p: float, expected: list[int]) -> None:
    assert chain.min_p(candidates(0.1, 0.4, 0.2, 0.3), p).ids.tolist() == expected


@pytest.mark.parametrize(("n_least", "expected"), [(0, [1]), (1, [1]), (3, [1, 3, 2]), (9, [1, 3, 2, 0])])
def test_so_many_are_kept_in_any_case(n_least: int, expected: list[int]) -> None:
    found = candidates(0.1, 0.4, 0.2, 0.3)
    assert chain.top_p(found, 0.1, n_least).ids.tolist() == expected
    assert chain.min_p(found, 0.99, n_least).ids.tolist() == expected


@pytest.mark.parametrize(("n_least", "expected"), [(0, [1]), (3, [1, 0, 2]), (9, [1, 0, 2, 3])])
def test_so_many_typical_ones_are_kept_in_any_case(n_least: int, expected: list[int]) -> None:
    assert chain.typical(candidates(0.6, 0.2, 0.1, 0.1), 0.1, n_least).ids.tolist() == expected


def test_of_many_as_many_are_kept_in_any_case() -> None:
    logits = np.random.default_rng(0).normal(0, 0.01, 3000).astype(np.float32)
    found = Candidates(np.arange(3000), logits, False)
    assert len(chain.top_p(found, 0.01, 500).ids) == len(chain.typical(found, 0.01, 500).ids) == 500
    best = np.argsort(-logits, kind="stable")[:500]
    assert chain.top_p(found, 0.01, 500).ids.tolist() == chain.min_p(found, 1.0, 500).ids.tolist() == best.tolist()


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
def test_of_many_the_same_are_kept_as_of_sorted_ones(kind: str, p: float) -> None:
    row = kinds()[kind]
    possible = np.flatnonzero(row > -np.inf)
    found = Candidates(possible, row[possible], False)
    typical = exact_chances(row, Sampling(temperature=1.0, top_k=0, typical_p=p, top_p=1.0))
    best = exact_chances(row, Sampling(temperature=1.0, top_k=0, top_p=p))
    assert len(np.setxor1d(chain.typical(found, p).ids, np.flatnonzero(typical))) <= 1  # at an edge, by rounding
    assert len(np.setxor1d(chain.top_p(found, p).ids, np.flatnonzero(best))) <= 1


def test_typical_prefers_what_surprises_as_much_as_expected() -> None:
    # surprise: 0.51, 1.61, 2.30, 2.30; expected 1.09: nearest is 0.51 away (1.61), then 0.58 (0.51)
    kept = chain.typical(candidates(0.6, 0.2, 0.1, 0.1), 0.5)
    assert kept.ids.tolist() == [1, 0] and not kept.is_sorted


def test_impossible_tokens_do_not_disturb_typical() -> None:
    assert 3 not in chain.typical(candidates(0.5, 0.3, 0.2, 0.0), 0.9).ids.tolist()


@pytest.mark.parametrize(("u", "expected"), [(0.0, 0), (0.09, 0), (0.11, 1), (0.49, 1), (0.51, 2), (0.999999, 3)])
def test_the_choice_is_where_the_random_number_falls(u: float, expected: int) -> None:
    assert chain.choose(candidates(0.1, 0.4, 0.2, 0.3), 1.0, u) == expected


def test_temperature_flattens_and_sharpens() -> None:
    flat, sharp = candidates(0.2, 0.8), candidates(0.2, 0.8)
    assert chain.choose(flat, 100.0, 0.49) == 0 and chain.choose(sharp, 0.1, 0.01) == 1


def test_temperature_zero_takes_the_most_likely_whatever_the_random_number() -> None:
    assert {chain.choose(candidates(0.1, 0.4, 0.2, 0.3), 0.0, u) for u in (0.0, 0.5, 0.999)} == {1}


def test_tiny_temperatures_do_not_overflow() -> None:
    assert chain.choose(candidates(0.1, 0.4, 0.2, 0.3), 1e-30, 0.5) == 1
