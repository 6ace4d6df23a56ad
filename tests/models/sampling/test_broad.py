"""Drawing from the whole vocabulary, and whether a token would be on the list that is never made."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.broad import Broad, Scratch, Whole
from models.sampling.chain import Candidates, Floats
from models.sampling.rng import random_source

N = 5000


def steps() -> list[Floats]:
    source = np.random.default_rng(0)
    return [source.normal(0, spread, N).astype(np.float32) for spread in (0.01, 0.5, 2.0, 8.0)]


class Fixed:
    """A source that gives one number."""

    def __init__(self, u: float) -> None:
        self._u = u

    def getrandbits(self, n: int) -> int:
        return int(self._u * 2**n)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_a_draw_is_where_the_random_number_falls(temperature: float) -> None:
    for logits in steps():
        whole = Whole(Scratch(N), logits, temperature)
        everything = Candidates(np.arange(N), logits, False)
        for u in np.linspace(0, 0.999999, 50):
            drawn = whole.draw(Fixed(u))  # type: ignore[arg-type]
            assert abs(drawn - chain.choose(everything, temperature, float(u))) <= 1  # at an edge, by rounding


@pytest.mark.parametrize("n_vocab", [N, 515])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.999])
def test_the_tokens_among_the_best_are_those_of_the_list(p: float, n_vocab: int) -> None:
    for logits in steps():
        logits = logits[:n_vocab]
        whole = Whole(Scratch(n_vocab), logits, 1.0)
        order = np.argsort(-logits, kind="stable")
        before = np.cumsum(np.exp(logits[order].astype(np.float64))) - np.exp(logits[order].astype(np.float64))
        sure = np.abs(before / np.exp(logits.astype(np.float64)).sum() - p) > 1e-5
        for token, mass in list(zip(order[sure], before[sure], strict=True))[:: max(1, n_vocab // 60)]:
            assert whole.is_among_best(int(token), p) == (mass < p * np.exp(logits.astype(np.float64)).sum())


def test_of_equal_tokens_the_first_ones_are_among_the_best() -> None:
    whole = Whole(Scratch(100), np.zeros(100, dtype=np.float32), 1.0)
    assert [whole.is_among_best(token, 0.505) for token in (0, 49, 50, 51, 99)] == [True, True, True, False, False]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
def test_typical_tokens_are_those_of_the_list(p: float) -> None:
    for logits in steps():
        whole = Whole(Scratch(N), logits, 1.0)
        kept = set(chain.typical(Candidates(np.arange(N), logits, False), p).ids.tolist())
        mean = whole.mean_logit()
        found = {token for token in range(0, N, 7) if whole.is_typical(token, mean, p)}
        wanted = {token for token in kept if token % 7 == 0}
        assert len(found ^ wanted) <= max(1, len(wanted) // 100)


def test_impossible_tokens_are_never_drawn_and_do_not_spoil_the_mean() -> None:
    logits = np.full(N, -np.inf, dtype=np.float32)
    logits[[3, 17]] = [1.0, 2.0]
    broad = Broad(Scratch(N), random_source(1))
    assert {broad.any(logits, 1.0) for _ in range(50)} == {3, 17}
    assert {broad.typical(logits, 0.99, 0.0, 1.0) for _ in range(50)} == {3, 17}
    assert {broad.top_p(logits, 0.99, 0.0, 0.7) for _ in range(50)} == {3, 17}


def test_a_filter_that_lets_few_pass_is_for_others() -> None:
    logits = np.zeros(N, dtype=np.float32)
    logits[7] = 3.0
    broad = Broad(Scratch(N), random_source(1))
    assert broad.top_p(logits, 0.9, min_p=0.5, temperature=1.0) is None
    assert broad.top_p(logits, 0.1, min_p=0.0, temperature=1.0) is None


def test_a_vocabulary_that_is_no_multiple_of_the_block_has_its_last_tokens() -> None:
    logits = np.full(515, -np.inf, dtype=np.float32)
    logits[514] = 1.0
    assert Broad(Scratch(515), random_source(1)).any(logits, 1.0) == 514


@pytest.mark.parametrize("scale", [1e4, 1e-30])
def test_logits_far_from_zero_are_as_good_as_others(scale: float) -> None:
    logits = np.full(N, -scale, dtype=np.float32)
    logits[4] = scale
    drawn = {Broad(Scratch(N), random_source(seed)).any(logits, 1.0) for seed in range(30)}
    assert drawn == {4} if scale > 1 else len(drawn) > 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(bad: float) -> None:
    logits = np.full(N, bad, dtype=np.float32)
    broad = Broad(Scratch(N), random_source(1))
    for choose in (
        lambda: broad.any(logits, 1.0),
        lambda: broad.top_p(logits, 0.9, 0.0, 1.0),
        lambda: broad.typical(logits, 0.5, 0.0, 1.0),
    ):
        with pytest.raises(UnusableOutput):
            choose()
