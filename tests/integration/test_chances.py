"""The chances of our sampler against those of llama.cpp's own chain, by chi-square.

`python -m bench.chances` makes 100,000 draws of each case, of three kinds of logits.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.chances import CASES, fixed_logits, judge, survival, verdict
from bench.llama_chain import chances
from models.runner.settings import Sampling
from models.sampling.numpy_passes import NumpyPasses

pytestmark = pytest.mark.model

N_DRAWS = 700
LOGITS = fixed_logits()
RARE = 1e-5
"""With fixed seeds the draws are always the same; once they pass, they do so until something changes."""


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_every_token_has_the_chance_that_llama_cpp_gives_it(options: Sampling, kind: str) -> None:
    found = verdict(options, LOGITS[kind], N_DRAWS)
    assert found.p_value > RARE
    assert found.n_forbidden <= (0 if kind == "few" else N_DRAWS * 2e-3)  # sums of thousands of chances are rounded


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize(
    "name",
    [
        "typical_p, top_p and min_p",
        "top_n_sigma and top_p",
        "dynamic temperature",
        "xtc, always",
        "min_keep without top_k",
        "temperature first",
        "mirostat 1",
        "mirostat 2, hot",
    ],
)
def test_it_has_so_where_nothing_is_compiled(name: str, kind: str) -> None:
    found = verdict(CASES[name], LOGITS[kind], N_DRAWS, passes=NumpyPasses(len(LOGITS[kind])))
    assert found.p_value > RARE
    assert found.n_forbidden <= (0 if kind == "few" else N_DRAWS * 2e-3)


@pytest.mark.parametrize("name", ["all filters and penalties", "xtc and top_k"])
def test_many_draws_have_the_chances_that_llama_cpp_gives_them(name: str) -> None:
    found = verdict(CASES[name], LOGITS["few"], 100_000)
    assert found.p_value > RARE and found.n_forbidden == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Sampling(temperature=0.8, seed=1), Sampling(temperature=0.9)),
        (Sampling(top_p=0.9, seed=1), Sampling(top_p=0.95)),
        (Sampling(typical_p=0.9, seed=1), Sampling()),
        (Sampling(xtc_probability=0.5, xtc_threshold=0.03, seed=1), Sampling(xtc_probability=0.6, xtc_threshold=0.03)),
    ],
)
def test_other_chances_are_noticed(ours: Sampling, theirs: Sampling) -> None:
    assert judge(LOGITS["few"], ours, 20_000, chances(LOGITS["few"], theirs)).p_value < RARE


@pytest.mark.parametrize(
    ("chi_square", "n_free", "p"), [(3.841, 1, 0.05), (5.991, 2, 0.05), (7.815, 3, 0.05), (149.449, 100, 0.001)]
)
def test_how_probable_a_chi_square_is(chi_square: float, n_free: int, p: float) -> None:
    assert survival(chi_square, n_free) == pytest.approx(p, rel=1e-3)


def test_no_chance_gets_lost() -> None:
    assert all(np.isclose(chances(LOGITS["few"], options).sum(), 1) for options in CASES.values())
