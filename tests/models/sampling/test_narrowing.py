"""Choosing with the compiled passes, also where few tokens pass or rounding decides which."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.chances import exact_chances, kinds
from models.errors import UnusableOutput
from models.runner.settings import Sampling
from models.sampling.chain import Floats
from models.sampling.narrowing import Narrowing
from models.sampling.passes import Passes, library
from models.sampling.rng import random_source
from models.sampling.typical_range import TypicalRange

N = 5000


def passes(n: int) -> Passes:
    compiled = library()
    assert compiled is not None, "the compiled passes are not built: run tools/setup.sh"
    return Passes(n, compiled)


def narrowing(n: int = N) -> Narrowing:
    return Narrowing(passes(n), random_source(1))


def rows() -> dict[str, Floats]:
    two = np.where(np.arange(N) < 2, 5.0, -np.inf).astype(np.float32)
    return {**kinds(), "constant": np.zeros(N, dtype=np.float32), "two": two}


@pytest.mark.parametrize("kind", rows())
@pytest.mark.parametrize("temperature", [1e-6, 0.05, 1.0, 50.0])
def test_whatever_the_options_say_there_is_a_token(kind: str, temperature: float) -> None:
    row = rows()[kind]
    chooser, untouched = narrowing(len(row)), row.copy()
    for p, top_p, min_p in itertools.product((0.0, 0.01, 0.4, 0.95), (0.0, 0.01, 0.5, 1.0), (0.0, 1e-4, 0.3, 1.0)):
        for token in (
            chooser.typical(row, p, top_p, min_p, temperature),
            chooser.top_p(row, p, temperature),
            chooser.min_p(row, max(min_p, 1e-6), top_p, temperature),
            chooser.any(row, temperature),
        ):
            assert row[token] > -np.inf
    assert np.array_equal(row, untouched)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(("top_p", "min_p"), [(1.0, 0.0), (0.8, 0.0), (1.0, 0.1), (0.6, 0.02)])
def test_what_is_kept_is_what_the_chain_keeps(kind: str, p: float, top_p: float, min_p: float) -> None:
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


def test_impossible_tokens_are_not_chosen() -> None:
    row = np.full(N, -np.inf, dtype=np.float32)
    row[[3, 17]] = [1.0, 2.0]
    chooser = narrowing()
    assert {chooser.any(row, 1.0) for _ in range(50)} == {3, 17}
    assert {chooser.min_p(row, 0.1, 0.99, 1.0) for _ in range(50)} == {3, 17}
    assert {chooser.top_p(row, 0.99, 0.7) for _ in range(50)} == {3, 17}
    assert {chooser.typical(row, 0.99, 0.99, 0.1, 1.0) for _ in range(50)} == {3, 17}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(bad: float) -> None:
    row = np.full(N, bad, dtype=np.float32)
    chooser = narrowing()
    for choose in (
        lambda: chooser.any(row, 1.0),
        lambda: chooser.min_p(row, 0.1, 1.0, 1.0),
        lambda: chooser.top_p(row, 0.9, 1.0),
        lambda: chooser.typical(row, 0.5, 1.0, 0.0, 1.0),
    ):
        with pytest.raises(UnusableOutput):
            choose()
