"""The quick searches give what the filters would keep of the whole vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import Candidates, Floats
from models.sampling.ports import Passes
from models.sampling.shortlist import Shortlist, greedy
from tests.models.sampling.passes_case import either

N = 5000

Make = Callable[[int], Passes]


def steps(kind: str) -> list[Floats]:
    """Logits of several steps that differ in how far their best lie apart, so that guesses fail in both directions."""
    source = np.random.default_rng(0)
    spreads = {"usual": [2.0] * 6, "changing": [0.1, 8.0, 0.01, 3.0, 30.0, 0.5], "flat": [0.0] * 3}[kind]
    return [source.normal(0, spread, N).astype(np.float32) for spread in spreads]


def nucleus(logits: Floats, p: float) -> npt.NDArray[np.intp]:
    """The most likely tokens that together reach p, in double precision."""
    order = np.argsort(-logits, kind="stable")
    running = np.cumsum(np.exp(logits[order].astype(np.float64) - logits.max()))
    return order[: int(np.searchsorted(running, p * running[-1])) + 1]


def everything(logits: Floats) -> Candidates:
    return Candidates(np.arange(len(logits)), logits, False)


@either
@pytest.mark.parametrize("kind", ["usual", "changing", "flat"])
@pytest.mark.parametrize("k", [1, 40, 3000, N])
def test_top_k(passes: Make, kind: str, k: int) -> None:
    shortlist = Shortlist(passes(N))
    for logits in steps(kind):
        assert shortlist.top_k(logits, k).ids.tolist() == chain.top_k(everything(logits), k).ids.tolist()


@either
@pytest.mark.parametrize("kind", ["usual", "changing", "flat"])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.9, 0.999])
def test_top_p(passes: Make, kind: str, p: float) -> None:
    shortlist = Shortlist(passes(N))
    for logits in steps(kind):
        found = shortlist.top_p(logits, p)
        least, most = nucleus(logits, p - 1e-5), nucleus(logits, p + 1e-5)  # sums in single precision are not exact
        assert set(least.tolist()) <= set(found.ids.tolist()) <= set(most.tolist())
        if found.is_sorted:
            assert found.ids.tolist() == most[: len(found.ids)].tolist()


@either
@pytest.mark.parametrize("kind", ["usual", "changing", "flat"])
@pytest.mark.parametrize("p", [0.001, 0.1, 1.0])
def test_min_p(passes: Make, kind: str, p: float) -> None:
    shortlist = Shortlist(passes(N))
    for logits in steps(kind):
        assert shortlist.min_p(logits, p).ids.tolist() == chain.min_p(everything(logits), p).ids.tolist()


@either
def test_forbidden_tokens_are_not_among_the_candidates_that_count(passes: Make) -> None:
    logits = np.full(N, -np.inf, dtype=np.float32)
    logits[[3, 17]] = [1.0, 2.0]
    for candidates in (
        Shortlist(passes(N)).top_k(logits, 40),
        Shortlist(passes(N)).top_p(logits, 0.99),
    ):
        assert {chain.choose(candidates, 1.0, u) for u in (0.0, 0.3, 0.9, 0.99999)} == {3, 17}


@either
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_refused(passes: Make, bad: float) -> None:
    logits = np.full(N, bad, dtype=np.float32)
    shortlist = Shortlist(passes(N))
    searches = [
        lambda: shortlist.top_k(logits, 40),
        lambda: shortlist.top_p(logits, 0.9),
        lambda: shortlist.min_p(logits, 0.1),
        lambda: shortlist.above(logits, 0.1),
        lambda: greedy(logits),
    ]
    for search in searches:
        with pytest.raises(UnusableOutput):
            search()
