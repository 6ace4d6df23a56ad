"""Choosing by surprise; tests/integration/test_chances.py has the chances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.errors import UnusableOutput
from models.runner.settings import Sampling
from models.sampling.mirostat import Mirostat
from models.sampling.ports import Passes
from models.sampling.rng import random_source
from tests.models.sampling.passes_case import either

N = 5000


@either
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("temperature", [1e-6, 0.7, 1.0])
def test_logits_are_kept(passes: Callable[[int], Passes], version: int, temperature: float) -> None:
    """A constraint may have to choose from them again."""
    logits = np.random.default_rng(0).normal(0, 2, N).astype(np.float32)
    before = logits.copy()
    mirostat = Mirostat(Sampling(mirostat=version, temperature=temperature), passes(N), random_source(1))
    chosen = [mirostat.choose(logits) for _ in range(5)]
    assert np.array_equal(logits, before)
    assert temperature > 1e-6 or set(chosen) == {int(logits.argmax())}


@either
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(passes: Callable[[int], Passes], version: int, bad: float) -> None:
    mirostat = Mirostat(Sampling(mirostat=version), passes(N), random_source(1))
    with pytest.raises(UnusableOutput):
        mirostat.choose(np.full(N, bad, dtype=np.float32))
