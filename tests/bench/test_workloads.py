from __future__ import annotations

import pytest

from bench.cases import CASES, GPU_CASES, Case
from bench.load import Exchange
from bench.workloads import worst_gap


@pytest.mark.parametrize(
    ("arrivals", "start", "end", "gap"),
    [
        pytest.param([1, 2, 3, 4, 5], 2.5, 4.5, 1.0, id="steady"),
        pytest.param([1, 2, 7, 8], 1.5, 7.5, 5.0, id="one long gap"),
        pytest.param([1, 2, 9], 2.5, 8.0, 5.5, id="nothing within: as long as it was watched"),
        pytest.param([1, 2, 3], 2.5, 8.0, 0.5, id="a stream that ends is no gap"),
        pytest.param([1, 2], 3.0, 8.0, 0.0, id="one that had ended before"),
    ],
)
def test_the_worst_gap_is_that_while_the_long_prompt_is_computed(
    arrivals: list[float], start: float, end: float, gap: float
) -> None:
    stream = Exchange(0.0, arrivals[0], arrivals[-1], b"", arrivals)
    assert worst_gap(stream, start, end) == pytest.approx(gap)


@pytest.mark.parametrize(
    "case", [*CASES.values(), *GPU_CASES.values()], ids=lambda case: f"{case.shape.name} {case.name}"
)
def test_every_case_has_a_small_version_that_promises_nothing(case: Case) -> None:
    small = case.quick()
    assert small.n_streams * (small.n_prompt + small.n_predict) <= 200
    assert small.goal is None and small.most is None and small.work is case.work
