"""Random numbers of a seed."""

from __future__ import annotations

import pytest

from models.sampling.rng import draw, draw_among, random_source


def test_the_words_are_those_of_std_mt19937() -> None:
    source = random_source(5489)
    words = [source.getrandbits(32) for _ in range(10_000)]
    assert words[0] == 3499211612
    assert words[-1] == 4123659995  # the value that the C++ standard asks of the 10,000th


@pytest.mark.parametrize(
    ("seed", "first"), [(0, 2357136044), (1, 1791095845), (7, 327741615), (2**32 + 1, 1791095845), (-1, 419326371)]
)
def test_a_seed_counts_modulo_32_bits(seed: int, first: int) -> None:
    assert random_source(seed).getrandbits(32) == first


def test_a_draw_uses_two_words_the_low_one_first() -> None:
    words, draws = random_source(1), random_source(1)
    low, high = words.getrandbits(32), words.getrandbits(32)
    assert draw(draws) == (low + high * 2**32) / 2**64


def test_where_there_is_no_choice_nothing_is_drawn() -> None:
    source, other = random_source(1), random_source(1)
    assert draw_among(1, source) == 0
    assert draw_among(2, source) == draw(other)


def test_without_a_seed_runs_differ() -> None:
    assert draw(random_source(None)) != draw(random_source(None))
