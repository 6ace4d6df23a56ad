"""Both implementations of the passes against numpy in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import UnusableOutput
from models.sampling import passes as compiled_passes
from models.sampling.chain import Floats
from models.sampling.numpy_passes import NumpyPasses
from models.sampling.passes import CompiledPasses, passes_for
from models.sampling.ports import Passes
from models.sampling.singles import logit_above, logit_below, next_down, next_up
from tests.models.sampling.passes_case import either

SIZES = (1, 2, 15, 16, 17, 33, 511, 512, 513, 5003, 20_011)
KINDS = ("text", "broad", "noise", "constant", "one", "masked", "far")

Doubles = npt.NDArray[np.float64]

Make = Callable[[int], Passes]


def logits(kind: str, n: int) -> Floats:
    source = np.random.default_rng(7)
    ranks = np.log(np.arange(1, n + 1))
    values = {
        "text": lambda: source.permutation(-2.5 * ranks) + source.normal(0, 0.3, n) + 20,
        "broad": lambda: source.permutation(-1.1 * ranks) + source.normal(0, 0.3, n) - 30,
        "noise": lambda: source.normal(0, 1.5, n),
        "constant": lambda: np.full(n, 3.25),
        "one": lambda: np.where(np.arange(n) == n // 2, 9.0, -np.inf),
        "masked": lambda: np.where(np.arange(n) % 3 == 0, source.normal(0, 1.5, n), -np.inf),
        "far": lambda: source.normal(0, 200, n),
    }[kind]()
    return values.astype(np.float32)


def weights_of(row: Floats, temperature: float = 1.0) -> Doubles:
    values = row.astype(np.float64)
    weights: Doubles = np.exp((values - values.max()) / temperature)
    return weights


each = pytest.mark.parametrize(("kind", "n"), [(kind, n) for kind in KINDS for n in SIZES])


@either
@each
def test_the_best_logit(passes: Make, kind: str, n: int) -> None:
    row = logits(kind, n)
    assert passes(n).read(row) == row.max()


@either
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf])
@pytest.mark.parametrize("n", SIZES)
def test_logits_that_are_not_numbers_are_refused_wherever_they_are(passes: Make, bad: float, n: int) -> None:
    for place in {0, n // 2, n - 1}:
        row = logits("noise", n)
        row[place] = bad
        with pytest.raises(UnusableOutput):
            passes(n).read(row)
    with pytest.raises(UnusableOutput):
        passes(n).read(np.full(n, -np.inf, dtype=np.float32))


@either
@pytest.mark.parametrize("bad", [np.zeros(99, dtype=np.float32), np.zeros((100, 2), dtype=np.float32)[:, 0]])
def test_rows_that_are_too_short_or_in_pieces_are_refused(passes: Make, bad: Floats) -> None:
    with pytest.raises((ValueError, TypeError, BufferError)):
        passes(100).read(bad)


@either
@each
@pytest.mark.parametrize("temperature", [1.0, 0.3, 1.7])
def test_weights_sums_and_moments(passes: Make, kind: str, n: int, temperature: float) -> None:
    row = logits(kind, n)
    found, weights = passes(n), weights_of(row)
    found.read(row)
    total = found.weigh(temperature, with_moments=True)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-37)
    assert np.all(found.weights[row == -np.inf] == 0)
    assert total == pytest.approx(weights.sum(), rel=1e-5)
    assert found.drawn_total == pytest.approx(weights_of(row, temperature).sum(), rel=1e-5)
    scores = np.where(weights > 0, row.astype(np.float64) - row.max(), 0.0)
    mean = float((weights * scores).sum() / weights.sum())
    assert found.mean == pytest.approx(mean, rel=1e-4, abs=1e-5)
    variance = float((weights * (scores - mean) ** 2).sum() / weights.sum())
    assert found.variance == pytest.approx(variance, rel=1e-2, abs=1e-3)


@either
@each
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_a_point_of_the_distribution(passes: Make, kind: str, n: int, temperature: float) -> None:
    row = logits(kind, n)
    found, weights = passes(n), weights_of(row, temperature)
    running = weights.cumsum()
    found.read(row)
    for prepare in (found.sum, found.weigh):
        prepare(temperature)
        for u in (0.0, 1e-9, 0.25, 0.5, 0.9, 1 - 2**-53):
            token = found.find(u)
            assert weights[token] > 0
            below = running[token - 1] if token else 0.0
            slack = 1e-5 * running[-1]
            assert below - slack <= u * running[-1] <= running[token] + slack


@either
@each
def test_draws_from_a_range(passes: Make, kind: str, n: int) -> None:
    row = logits(kind, n)
    low, high = np.quantile(row[row > -np.inf], [0.4, 0.8], method="nearest").tolist()
    found = passes(n)
    found.read(row)
    found.sum(1.3, low, high)
    within = row[(row >= low) & (row <= high)].astype(np.float64)  # which may weigh nothing beside the best one
    assert found.drawn_total == pytest.approx(np.exp((within - within.max()) / 1.3).sum(), rel=1e-5)
    assert all(low <= row[found.find(u)] <= high for u in (0.0, 0.3, 0.999))
    found.sum(1.0, row.max() + 1.0)
    assert found.drawn_total == 0 and found.find(0.5) == -1


@either
@each
def test_what_is_at_least_as_heavy(passes: Make, kind: str, n: int) -> None:
    row = logits(kind, n)
    found = passes(n)
    found.read(row)
    found.weigh(1.0)
    weights = found.weights.astype(np.float64)
    middle = np.sort(found.weights)[n // 2].item()
    asked = (middle, next_up(middle), 0.5, 1.0)
    for n_asked in (2, 3, 4):
        sums = found.at_least(*asked[:n_asked])
        expected = [weights[weights >= np.float32(weight)].sum() for weight in asked[:n_asked]]
        assert sums[:n_asked] == pytest.approx(expected, rel=1e-5, abs=1e-37)
    for most, below in zip(sums[4:], (np.float32(asked[1]), 1.0), strict=True):
        assert most == weights[weights < below].max(initial=0.0)


@either
@each
def test_the_tokens_of_a_range(passes: Make, kind: str, n: int) -> None:
    row = logits(kind, n)
    low, high = np.quantile(row[row > -np.inf], [0.97, 0.99], method="nearest").tolist()
    found = passes(n)
    found.read(row, with_maxima=True)
    maxima = found.maxima()
    n_grouped = 16 * len(maxima)
    assert n - 512 < n_grouped <= n
    assert not len(maxima) or maxima.max() == row[:n_grouped].max()
    for ids, wanted in (
        (found.between(low, high), (row >= low) & (row <= high)),
        (found.between(low, with_maxima=True), row >= low),
    ):
        n_wanted = np.count_nonzero(wanted)
        assert (ids is None) == (n_wanted > 8192)
        assert ids is None or np.array_equal(ids, np.flatnonzero(wanted))
    found.weigh(1.0)
    heavy = np.flatnonzero(found.weights >= 0.5)
    listed = found.weighing(0.5, 1.0, 64)
    assert (listed is None) == (len(heavy) > 64)
    assert listed is None or np.array_equal(listed, heavy)


@either
@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 1e3])
def test_temperatures_at_the_edge(passes: Make, temperature: float) -> None:
    row = logits("far", 1000)
    found = passes(1000)
    found.read(row)
    found.sum(temperature)
    assert found.drawn_total == pytest.approx(weights_of(row, temperature).sum(), rel=1e-5)


def test_the_next_number_of_single_precision() -> None:
    for weight in np.random.default_rng(3).lognormal(0, 20, 2000).astype(np.float32):
        value = float(weight)
        assert np.float32(next_up(value)) == np.nextafter(weight, np.float32(math.inf))
        assert np.float32(next_down(value)) == np.nextafter(weight, np.float32(0))
    for power in (-3, 0, 5):
        assert np.float32(next_up(2.0**power)) > 2.0**power > np.float32(next_down(2.0**power))
    assert logit_below(0.1) < np.float32(0.1) < logit_above(0.1)
    assert np.float32(logit_above(logit_below(0.1))) == np.float32(0.1)


def test_where_nothing_is_compiled_numpy_makes_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(passes_for(10), CompiledPasses)
    monkeypatch.setattr(compiled_passes, "library", lambda: None)
    assert isinstance(passes_for(10), NumpyPasses)
