"""Products with Q8_0 weights: what ggml, or Puna's kernel in its place, makes of them.

Inputs become Q8_0, and products of 32 are summed exactly; only adding those sums in F32 may differ from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from tests.models.llama.ggml_graph import F32, Graph

pytestmark = pytest.mark.model

Floats = npt.NDArray[np.float32]

BLOCK = 32
Q8_0 = 8
BLOCK_TYPE = np.dtype([("scale", "<f2"), ("values", "i1", BLOCK)])

N_TOKENS = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64, 100, 513)
N_ROWS = (1, 2, 15, 16, 17, 64, 100, 576)


@dataclass(frozen=True)
class Blocks:
    """Rows of Q8_0: values (rows, blocks, 32), scales (rows, blocks)."""

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]

    @property
    def bytes(self) -> npt.NDArray[np.void]:
        found = np.empty(self.scales.shape, BLOCK_TYPE)
        found["scale"], found["values"] = self.scales, self.values
        return found

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """(rows, numbers)."""
        found = self.values.astype(np.float64) * self.scales[..., None]
        return found.reshape(len(self.scales), -1)


def random_weights(n_rows: int, n: int) -> Blocks:
    source = np.random.default_rng(n_rows * 10_000 + n)
    values = source.integers(-128, 128, (n_rows, n // BLOCK, BLOCK), dtype=np.int8)
    return Blocks(values, source.uniform(1e-4, 1e-2, values.shape[:2]).astype(np.float16))


def random_inputs(n_tokens: int, n: int) -> Floats:
    source = np.random.default_rng(n_tokens * 10_000 + n)
    return source.normal(size=(n_tokens, n)).astype(np.float32)


def quantize(inputs: Floats) -> Blocks:
    """As quantize_row_q8_0 of ggml: the scale is stored as F16, but the values are made with it as F32."""
    blocks = inputs.reshape(len(inputs), -1, BLOCK)
    most = np.abs(blocks).max(-1)
    # Numbers that small have a scale of zero anyhow, and the inverse may have overflown.
    inverse = np.divide(np.float32(127), most, out=np.zeros_like(most), where=most > 1e-30)
    values = np.rint(blocks * inverse[..., None]).astype(np.int8)
    return Blocks(values, (most / np.float32(127)).astype(np.float16))


def computed(weights: Blocks, inputs: Floats, *, n_threads: int = 2, row_length: int | None = None) -> Floats:
    """`row_length`: of the memory that the inputs are a part of, in numbers; what is beside them is not a number."""
    (n_rows, n_blocks), (n_tokens, n) = weights.scales.shape, inputs.shape
    with Graph() as graph:
        if row_length is None:
            given = graph.tensor(inputs, F32, n, n_tokens)
        else:
            memory = np.full((n_tokens, row_length), np.nan, np.float32)
            memory[:, :n] = inputs
            given = graph.beginnings(
                graph.tensor(memory, F32, row_length, n_tokens), n, n_rows=n_tokens, row_bytes=4 * row_length
            )
        product = graph.product(graph.tensor(weights.bytes, Q8_0, n_blocks * BLOCK, n_rows), given)
        return graph.compute(product, n_tokens, n_rows, n_threads=n_threads)


def check(weights: Blocks, inputs: Floats, *, n_threads: int = 2, row_length: int | None = None) -> None:
    found = computed(weights, inputs, n_threads=n_threads, row_length=row_length)
    w, x = weights.numbers, quantize(inputs).numbers
    n_sums = weights.scales.shape[1] + 8  # of F32, each rounded; llama.cpp adds eight parts of each block in the end
    allowed = np.abs(x) @ np.abs(w).T * n_sums * 2.0**-24
    assert np.all(np.abs(found - x @ w.T) <= allowed)


@pytest.mark.parametrize("n", [32, 96])
@pytest.mark.parametrize("n_rows", N_ROWS)
def test_every_number_of_tokens_and_rows(n_rows: int, n: int) -> None:
    for n_tokens in N_TOKENS:
        check(random_weights(n_rows, n), random_inputs(n_tokens, n))


@pytest.mark.parametrize("n", [64, 576, 800, 1536, 2048, 8192])
def test_rows_of_every_length(n: int) -> None:
    for n_rows, n_tokens in [(1, 2), (17, 5), (64, 1), (100, 31), (33, 64)]:
        check(random_weights(n_rows, n), random_inputs(n_tokens, n))


def test_a_large_product() -> None:
    check(random_weights(576, 1536), random_inputs(513, 1536))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 64])
@pytest.mark.parametrize(("n_rows", "n_tokens"), [(1, 2), (31, 3), (33, 17), (576, 4), (100, 300), (192, 513)])
def test_any_number_of_threads(n_rows: int, n_tokens: int, n_threads: int) -> None:
    check(random_weights(n_rows, 576), random_inputs(n_tokens, 576), n_threads=n_threads)


@pytest.mark.parametrize("n_tokens", [1, 2, 7, 16])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("weight", [-128, -127, 127])
def test_the_largest_sums_fit(weight: int, sign: int, n_tokens: int) -> None:
    values = np.full((17, 4, BLOCK), weight, np.int8)
    weights = Blocks(values, np.full((17, 4), 0.01, np.float16))
    check(weights, np.full((n_tokens, 4 * BLOCK), 127 * sign, np.float32))


@pytest.mark.parametrize(
    "factor",
    [
        pytest.param(0, id="zero"),
        pytest.param(1e-38, id="scales of zero, and no inverse of the largest number"),
        pytest.param(1e-7, id="scales of zero or nearly"),
        pytest.param(1e-4, id="scales that are denormal"),
        pytest.param(1e6, id="large"),
    ],
)
@pytest.mark.parametrize("n_tokens", [2, 9])
def test_inputs_of_any_size(factor: float, n_tokens: int) -> None:
    check(random_weights(40, 96), random_inputs(n_tokens, 96) * np.float32(factor))


def test_blocks_of_zeros_among_others() -> None:
    inputs = random_inputs(9, 320)
    inputs[:, 32:64] = inputs[3] = inputs[5, :32] = inputs[8, 288:] = 0
    check(random_weights(40, 320), inputs)


@pytest.mark.parametrize("value", [1e9, np.inf, -np.inf, np.nan])
def test_inputs_too_large_for_a_scale_concern_their_token_only(value: float) -> None:
    weights, inputs = random_weights(40, 96), random_inputs(9, 96)
    inputs[4, 32:64] = value
    found = computed(weights, inputs)
    assert not np.isfinite(found[4]).any()
    others = [0, 1, 2, 3, 5, 6, 7, 8]
    assert np.array_equal(found[others], computed(weights, random_inputs(9, 96))[others])


@pytest.mark.parametrize("n_tokens", [1, 2, 6, 33])
def test_inputs_within_longer_rows(n_tokens: int) -> None:
    check(random_weights(100, 576), random_inputs(n_tokens, 576), row_length=640)


@pytest.mark.parametrize("n_tokens", [1, 2, 9])
def test_weights_within_longer_rows(n_tokens: int) -> None:
    weights, inputs = random_weights(70, 640), random_inputs(n_tokens, 576)
    with Graph() as graph:
        whole = graph.tensor(weights.bytes, Q8_0, 640, 70)
        part = graph.beginnings(whole, 576, n_rows=70, row_bytes=weights.bytes[0].nbytes)
        found = graph.compute(graph.product(part, graph.tensor(inputs, F32, 576, n_tokens)), n_tokens, 70)
    assert np.array_equal(found, computed(Blocks(weights.values[:, :18], weights.scales[:, :18]), inputs))


def test_several_matrices_at_once() -> None:
    weights, inputs = random_weights(2 * 40, 96), random_inputs(4 * 3, 96)
    with Graph() as graph:
        many = graph.product(graph.tensor(weights.bytes, Q8_0, 96, 40, 2), graph.tensor(inputs, F32, 96, 3, 4))
        found = graph.compute(many, 4, 3, 40)
    for i, of in enumerate(found):
        rows = slice(40 * (i // 2), 40 * (i // 2) + 40)
        alone = computed(Blocks(weights.values[rows], weights.scales[rows]), inputs[3 * i : 3 * i + 3])
        np.testing.assert_allclose(of, alone, rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    weights, inputs = random_weights(576, 1536), random_inputs(37, 1536)
    found = computed(weights, inputs, n_threads=1)
    for n_threads in (2, 3, 8, 64):
        assert np.array_equal(computed(weights, inputs, n_threads=n_threads), found)


def test_a_token_gives_the_same_whatever_is_beside_it() -> None:
    weights, inputs = random_weights(100, 1536), random_inputs(300, 1536)
    found = computed(weights, inputs)
    for n in (2, 3, 7, 64):
        assert np.array_equal(computed(weights, inputs[-n:]), found[-n:])
