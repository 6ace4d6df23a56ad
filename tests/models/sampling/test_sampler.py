"""Choosing under a constraint: what is picked again comes from what is allowed, with the chances of those tokens."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import InvalidConstraint
from models.runner.settings import Sampling
from models.sampling.passes import passes_for
from models.sampling.sampler import Sampler

N_VOCAB = 20_000
N_DRAWS = 3000


class Only:
    """Allows some tokens, again and again."""

    is_complete = False

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens

    def allows(self, token: int) -> bool:
        return token in self._tokens

    def allowed(self) -> npt.NDArray[np.intp]:
        return np.array(self._tokens, dtype=np.intp)

    def accept(self, token: int) -> None:
        assert token in self._tokens

    def forced(self) -> list[int]:
        return []


def logits(**some: float) -> npt.NDArray[np.float32]:
    """One token, 7, is nearly certain; `some`, by number, are possible."""
    values = np.full(N_VOCAB, -20.0, dtype=np.float32)
    values[7] = 30.0
    for token, logit in some.items():
        values[int(token[1:])] = logit
    return values


def drawn(options: Sampling, allowed: list[int], n: int = N_DRAWS, **some: float) -> Counter[int]:
    sampler = Sampler(options, passes_for(N_VOCAB), matcher=Only(allowed))
    return Counter(sampler.sample(logits(**some)) for _ in range(n))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Sampling(seed=1, temperature=1.0, top_k=40, top_p=1.0), id="top_k"),
        pytest.param(Sampling(seed=1, temperature=1.0, top_k=0, top_p=1.0), id="everything"),
        pytest.param(Sampling(seed=1, temperature=1.0, top_k=0, top_p=0.9999), id="top_p"),
        pytest.param(Sampling(seed=1, temperature=1.0, top_k=0, top_p=1.0, min_p=0.001), id="min_p"),
        pytest.param(Sampling(seed=1, temperature=1.0, top_k=0, top_p=1.0, top_n_sigma=50), id="another pipeline"),
    ],
)
def test_chances_are_those_of_what_is_allowed(options: Sampling) -> None:
    counts = drawn(options, [11, 12, 13], t11=2.0, t12=1.0, t13=0.0)
    weights = np.exp([2.0, 1.0, 0.0])
    for token, chance in zip((11, 12, 13), weights / weights.sum(), strict=True):
        assert abs(counts[token] - N_DRAWS * chance) < 4.5 * np.sqrt(N_DRAWS * chance * (1 - chance))


def test_the_filters_work_on_what_is_allowed() -> None:
    assert set(drawn(Sampling(seed=1, top_k=2), [11, 12, 13], 50, t11=1.1, t12=1.0, t13=0.9)) == {11, 12}
    assert set(drawn(Sampling(seed=1, top_k=0, min_p=0.5), [11, 12, 13], 50, t11=2.0, t12=1.9, t13=0.0)) == {11, 12}
    assert set(drawn(Sampling(temperature=0.0), [11, 12, 13], 5, t11=1.0, t12=1.5, t13=0.0)) == {12}


def test_what_many_tokens_fit_is_picked_from_all_of_them() -> None:
    allowed = list(range(100, N_VOCAB))
    assert set(drawn(Sampling(seed=1, top_k=40), allowed, 50, t19000=9.0, t300=9.0)) == {300, 19000}


def test_a_suppressed_token_is_not_picked_though_it_is_allowed() -> None:
    suppressed = np.array([11], dtype=np.int32)
    sampler = Sampler(Sampling(seed=1), passes_for(N_VOCAB), matcher=Only([11, 12]), suppressed=suppressed)
    assert {sampler.sample(logits(t11=9.0)) for _ in range(20)} == {12}


def test_when_nothing_is_allowed_that_is_said() -> None:
    with pytest.raises(InvalidConstraint, match="no token of this model's vocabulary"):
        drawn(Sampling(seed=1), [], 1)
