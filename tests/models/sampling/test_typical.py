"""Whether a token is typical, against the list of those that are."""

from __future__ import annotations

import numpy as np
import pytest

from bench.chances import exact_chances, kinds
from models.runner.settings import Sampling
from models.sampling.shortlist import Shortlist
from models.sampling.typical import Typical
from models.sampling.whole import Scratch, Whole


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(("top_p", "min_p"), [(1.0, 0.0), (0.8, 0.0), (1.0, 0.1), (0.6, 0.02)])
def test_what_is_kept_is_what_the_chain_keeps(kind: str, p: float, top_p: float, min_p: float) -> None:
    logits = kinds()[kind]
    scratch = Scratch(len(logits))
    typical = Typical(Whole(scratch, logits, 1.0), Shortlist(scratch), p)
    wanted = exact_chances(logits, Sampling(temperature=1.0, top_k=0, typical_p=p, top_p=top_p, min_p=min_p)) > 0
    tokens = [*np.argsort(-logits)[:40], *np.flatnonzero(wanted)[::25], *range(0, len(logits), 90)]
    tokens = [int(token) for token in tokens if typical.whole.weights[token] > 0]
    assert sum(typical.keeps(token, top_p, min_p) != wanted[token] for token in tokens) <= 1  # at an edge, by rounding


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
def test_the_list(kind: str, p: float) -> None:
    logits = kinds()[kind]
    scratch = Scratch(len(logits))
    found = Typical(Whole(scratch, logits, 1.0), Shortlist(scratch), p).list().ids
    wanted = np.flatnonzero(exact_chances(logits, Sampling(temperature=1.0, top_k=0, typical_p=p, top_p=1.0)))
    assert len(np.setxor1d(found, wanted)) <= 1
