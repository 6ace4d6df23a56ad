"""Drawing from the whole vocabulary, and where a token stands in it."""

from __future__ import annotations

import math
import random
from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import Candidates, Floats
from models.sampling.usable import HIGHEST
from models.sampling.whole import BLOCK, Scratch, Whole

N = 5000


def steps(n_vocab: int = N) -> list[Floats]:
    source = np.random.default_rng(0)
    found = [source.normal(0, spread, n_vocab).astype(np.float32) for spread in (0.01, 0.5, 2.0, 8.0)]
    return [*found, np.round(found[2])]


def before(logits: Floats) -> npt.NDArray[np.float64]:
    """The probability of all that is more likely than a token, or as likely and earlier, in double precision."""
    probs = np.exp(logits.astype(np.float64))
    probs /= probs.sum()
    order = np.argsort(-logits, kind="stable")
    found = np.empty(len(logits))
    found[order] = probs[order].cumsum() - probs[order]
    return found


class Fixed(random.Random):
    """A source that gives one number."""

    def __init__(self, u: float) -> None:
        super().__init__(0)
        self._u = u

    def getrandbits(self, k: int, /) -> int:
        return int(self._u * 2**k)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_a_draw_is_where_the_random_number_falls(temperature: float) -> None:
    for logits in steps():
        whole = Whole(Scratch(N), logits, temperature)
        everything = Candidates(np.arange(N), logits, False)
        for u in np.linspace(0, 0.999999, 50):
            drawn = whole.draw(Fixed(float(u)))
            assert abs(drawn - chain.choose(everything, temperature, float(u))) <= 1  # at an edge, by rounding


@pytest.mark.parametrize("temperature", [0.05, 0.5, 0.8, 1.0, 1.3, 4.0])
@pytest.mark.parametrize("spread", [1.0, 6.0])
@pytest.mark.parametrize("n_blocks", [3, 40])
def test_draws_at_another_temperature_have_its_chances(temperature: float, spread: float, n_blocks: int) -> None:
    n_draws = 3000
    logits = np.random.default_rng(1).normal(0, spread, n_blocks * BLOCK + 5).astype(np.float32)
    whole = Whole(Scratch(len(logits)), logits, 1.0)
    drawn = np.bincount(list(islice(whole.draws(temperature, random.Random(1)), n_draws)), minlength=len(logits))
    expected = n_draws * chain.softmax(logits / np.float32(temperature), (logits / np.float32(temperature)).max())
    groups = np.array_split(np.argsort(-expected), 40)
    seen, wanted = (np.array([values[group].sum() for group in groups]) for values in (drawn, expected))
    kept = wanted > 5
    assert ((seen - wanted) ** 2 / np.maximum(wanted, 1e-9))[kept].sum() < kept.sum() + 5 * np.sqrt(2 * kept.sum())


@pytest.mark.parametrize("n_vocab", [N, 515, BLOCK])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.999])
def test_the_tokens_within_a_share_are_those_of_the_sorted_list(p: float, n_vocab: int) -> None:
    for logits in steps(n_vocab):
        whole = Whole(Scratch(n_vocab), logits, 1.0)
        mass = before(logits)
        for token in [*range(0, n_vocab, max(1, n_vocab // 60)), int(logits.argmax())]:
            if abs(mass[token] - p) > 1e-5:
                weight = float(whole.weights[token])
                assert whole.comes_within(token, weight, HIGHEST, p * whole.total) == (mass[token] < p)


def test_of_equal_tokens_the_first_ones_come_first() -> None:
    whole = Whole(Scratch(100), np.zeros(100, dtype=np.float32), 1.0)
    found = [whole.comes_within(token, 1.0, HIGHEST, 50.5) for token in (0, 49, 50, 51, 99)]
    assert found == [True, True, True, False, False]


def test_the_next_heavier_token() -> None:
    logits = np.random.default_rng(0).permutation(np.linspace(-3, 3, 1000)).astype(np.float32)
    whole = Whole(Scratch(1000), logits, 1.0)
    order = np.argsort(logits)
    for rank in (0, 1, 500, 998):
        assert whole.next_heavier(float(whole.weights[order[rank]])) == order[rank + 1]
    assert whole.next_heavier(float(whole.weights.max())) is None
    assert whole.next_heavier(1e20) is None


@pytest.mark.parametrize("shift", [0.0, -60.0, 200.0])
@pytest.mark.parametrize("overwrites", [False, True])
def test_the_expected_score(shift: float, overwrites: bool) -> None:
    for logits in steps():
        logits = logits + np.float32(shift)
        logits[::3] = -np.inf
        tokens = np.flatnonzero(logits > -np.inf)
        possible = logits[tokens].astype(np.float64)
        probs = np.exp(possible - possible.max())
        expected = (probs * possible).sum() / probs.sum() - possible.max()
        whole = Whole(Scratch(N), logits, 1.0, overwrites=overwrites)
        best = tokens[possible.argmax()]
        unit = whole.logits_of(np.array([best]))[0] / whole.scores[best] if whole.scores[best] else math.log(2)
        found = (whole.mean_score() - whole.scores[best]) * unit
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_scores_move_all_logits_by_the_same_amount() -> None:
    for logits in steps():
        for shift in (0.0, 200.0):
            moved = logits + np.float32(shift)
            whole = Whole(Scratch(N), moved.copy(), 1.0, overwrites=True)
            differences = moved - whole.logits_of(np.arange(N))
            assert np.ptp(differences) < 1e-3


def test_logits_are_kept_unless_asked_for() -> None:
    for logits in steps():
        before = logits.copy()
        whole = Whole(Scratch(N), logits, 0.7)
        list(islice(whole.draws(1.3, random.Random(1)), 5))
        assert np.array_equal(logits, before)


def test_impossible_tokens_are_never_drawn() -> None:
    logits = np.full(N, -np.inf, dtype=np.float32)
    logits[[3, 17]] = [1.0, 2.0]
    whole, source = Whole(Scratch(N), logits, 1.0), random.Random(1)
    for temperature in (0.5, 1.0, 3.0):
        assert {*islice(whole.draws(temperature, source), 60)} == {3, 17}
    assert {whole.draw(Fixed(u)) for u in (1e-12, 0.5, 1 - 2**-53)} == {3, 17}


def test_a_vocabulary_that_is_no_multiple_of_the_block_has_its_last_tokens() -> None:
    logits = np.full(2 * BLOCK + 3, -np.inf, dtype=np.float32)
    logits[-1] = 1.0
    assert Whole(Scratch(len(logits)), logits, 1.0).draw(random.Random(1)) == len(logits) - 1


@pytest.mark.parametrize("scale", [1e4, 1e-30])
def test_logits_far_from_zero_are_as_good_as_others(scale: float) -> None:
    logits = np.full(N, -scale, dtype=np.float32)
    logits[4] = scale
    drawn = {Whole(Scratch(N), logits, 1.0).draw(random.Random(seed)) for seed in range(30)}
    assert drawn == {4} if scale > 1 else len(drawn) > 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_bad", [1, N])
def test_logits_that_are_not_numbers_are_refused(bad: float, n_bad: int) -> None:
    logits = np.zeros(N, dtype=np.float32)
    logits[:n_bad] = bad
    if bad == -np.inf and n_bad < N:
        assert Whole(Scratch(N), logits, 1.0).weights[0] == 0
        return
    with pytest.raises(UnusableOutput):
        Whole(Scratch(N), logits, 1.0)
