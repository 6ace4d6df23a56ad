"""Choosing among tokens that are never listed: every token has the chance that the filters are defined to give it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.chances import exact_chances, judge, kinds
from models.errors import UnusableOutput
from models.runner.settings import Sampling
from models.sampling.broad import Broad
from models.sampling.chain import Floats
from models.sampling.rng import random_source
from models.sampling.shortlist import Shortlist
from models.sampling.whole import Scratch

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


def options(temperature: float, **filters: float) -> Sampling:
    return Sampling(seed=5, temperature=temperature, top_k=0, **{"top_p": 1.0, "min_p": 0.0, **filters})  # type: ignore[arg-type]


def broad(n_vocab: int = N, *, keeps_logits: bool = True) -> Broad:
    scratch = Scratch(n_vocab)
    return Broad(scratch, Shortlist(scratch), random_source(1), keeps_logits=keeps_logits)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("is_compiled", [True, False])
def test_every_token_has_its_chance(
    kind: str, filters: dict[str, float], temperature: float, is_compiled: bool
) -> None:
    verdict = judge(kinds()[kind], options(temperature, **filters), N_DRAWS, is_compiled=is_compiled)
    assert verdict.deviation < 5 and verdict.n_forbidden == 0


def test_wrong_chances_are_noticed() -> None:
    logits = kinds()["noise"]
    verdict = judge(logits, options(1.0), N_DRAWS, exact_chances(logits, options(1.4)))
    assert verdict.deviation > 5
    assert judge(logits, options(1.0), N_DRAWS, exact_chances(logits, options(1.0, top_p=0.95))).n_forbidden > 0


def test_a_seed_gives_the_same_tokens_again() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (40, N)).astype(np.float32)

    def run(*, keeps_logits: bool) -> list[int]:
        chooser = broad(keeps_logits=keeps_logits)
        return [chooser.typical(row.copy(), 0.9, 0.9, 0.01, 0.8) for row in logits]

    assert run(keeps_logits=True) == run(keeps_logits=True) == run(keeps_logits=False)


def test_impossible_tokens_are_not_chosen() -> None:
    logits = np.full(N, -np.inf, dtype=np.float32)
    logits[[3, 17]] = [1.0, 2.0]
    chooser = broad()
    assert {chooser.any(logits, 1.0) for _ in range(50)} == {3, 17}
    assert {chooser.min_p(logits, 0.1, 0.99, 1.0) for _ in range(50)} == {3, 17}
    assert {chooser.top_p(logits, 0.99, 0.7) for _ in range(50)} == {3, 17}
    assert {chooser.typical(logits, 0.99, 0.99, 0.1, 1.0) for _ in range(50)} == {3, 17}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(bad: float) -> None:
    logits: Floats = np.full(N, bad, dtype=np.float32)
    chooser = broad()
    for choose in (
        lambda: chooser.any(logits, 1.0),
        lambda: chooser.min_p(logits, 0.1, 1.0, 1.0),
        lambda: chooser.top_p(logits, 0.9, 1.0),
        lambda: chooser.typical(logits, 0.5, 1.0, 0.0, 1.0),
    ):
        with pytest.raises(UnusableOutput):
            choose()
