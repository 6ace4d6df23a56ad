"""Both implementations of the passes against numpy in double precision."""

from __future__ import annotations

import _ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import UnusableOutput
from models.sampling import passes as compiled_passes
from models.sampling.chain import Floats
from models.sampling.numpy_passes import NumpyPasses
from models.sampling.passes import CompiledPasses, passes_for, tokens_of
from models.sampling.ports import Passes
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


def weights_of(row: Floats) -> Doubles:
    values = row.astype(np.float64)
    weights: Doubles = np.exp(values - values.max())
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
def test_weights_and_their_sum_and_mean(passes: Make, kind: str, n: int) -> None:
    row = logits(kind, n)
    found, weights = passes(n), weights_of(row)
    found.read(row)
    total = found.weigh(with_mean=True)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-37)
    assert np.all(found.weights[row == -np.inf] == 0)
    assert total == found.weigh() == pytest.approx(weights.sum(), rel=1e-5)
    found.weigh(with_mean=True)
    scores = np.where(weights > 0, row.astype(np.float64) - row.max(), 0.0)
    assert found.mean == pytest.approx(float((weights * scores).sum() / weights.sum()), rel=1e-4, abs=1e-5)


@either
@each
def test_the_tokens_from_a_logit_on(passes: Make, kind: str, n: int) -> None:
    row = logits(kind, n)
    low = np.quantile(row[row > -np.inf], 0.97, method="nearest").item()
    found = passes(n)
    found.read(row, with_maxima=True)
    maxima = found.maxima()
    n_grouped = 16 * len(maxima)
    assert n - 512 < n_grouped <= n
    assert not len(maxima) or maxima.max() == row[:n_grouped].max()
    ids = found.from_logit(low)
    assert (ids is None) == (np.count_nonzero(row >= low) > 8192)
    assert ids is None or np.array_equal(ids, np.flatnonzero(row >= low))


def test_where_nothing_is_compiled_numpy_makes_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(passes_for(10), CompiledPasses)
    monkeypatch.setattr(compiled_passes, "library", lambda: None)
    assert isinstance(passes_for(10), NumpyPasses)


@pytest.mark.parametrize("kind", ["none", "no library", "another library"])
def test_without_passes_that_fit_numpy_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    file = tmp_path / compiled_passes._FILE
    if kind == "no library":
        file.write_bytes(b"")
    elif kind == "another library":
        file.symlink_to(_ctypes.__file__)
    monkeypatch.setattr(compiled_passes, "library_folder", lambda: tmp_path)
    compiled_passes.library.cache_clear()
    try:
        assert isinstance(passes_for(10), NumpyPasses)
    finally:
        compiled_passes.library.cache_clear()
    assert ("`make setup` mends that" in caplog.text) is (kind != "none")


@pytest.mark.parametrize("n", [1, 31, 32, 33, 1000, 5000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.9, 1.0])
@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_tokens_of_a_mask(monkeypatch: pytest.MonkeyPatch, n: int, share: float, is_compiled: bool) -> None:
    if not is_compiled:
        monkeypatch.setattr(compiled_passes, "library", lambda: None)
    flags = np.random.default_rng(n).random((n + 31) // 32 * 32) < share
    flags[n:] = True  # which are of no token
    bits = np.packbits(flags, bitorder="little").view(np.uint32)
    assert tokens_of(bits, n).tolist() == np.flatnonzero(flags[:n]).tolist()
