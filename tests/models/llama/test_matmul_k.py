"""Products with Q4_K and Q6_K weights, by whichever kernel computes them, against numpy in double precision."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from tests.models.llama.ggml_graph import F32, Graph

Q4_K, Q6_K = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K
BLOCK = 256
EACH_TYPE = pytest.mark.parametrize("kind", [Q4_K, Q6_K], ids=["Q4_K", "Q6_K"])

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def packed(kind: gguf.GGMLQuantizationType, n_rows: int, n_in: int, seed: int = 0) -> Bytes:
    """Random bits, with scales of blocks that are numbers of a usual size. (n_rows, blocks, bytes of a block)"""
    source = np.random.default_rng(seed)
    found = source.integers(0, 256, (n_rows, n_in // BLOCK, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    set_scales(kind, found, source.uniform(-1e-2, 1e-2, (2, *found.shape[:2])).astype(np.float16))
    return found


def set_scales(kind: gguf.GGMLQuantizationType, blocks: Bytes, scales: npt.NDArray[np.float16] | float) -> None:
    """`scales`: of the weights, and of the mins that Q4_K has beside them."""
    first, second = np.broadcast_to(np.asarray(scales, np.float16), (2, *blocks.shape[:2]))
    if kind == Q4_K:
        blocks[..., 0:2], blocks[..., 2:4] = as_bytes(first), as_bytes(second)
    else:
        blocks[..., -2:] = as_bytes(first)


def as_bytes(numbers: npt.NDArray[np.float16]) -> Bytes:
    return np.ascontiguousarray(numbers)[..., None].view(np.uint8)


def unpacked(kind: gguf.GGMLQuantizationType, blocks: Bytes) -> Doubles:
    return gguf.dequantize(blocks.reshape(len(blocks), -1), kind).astype(np.float64)


def exact_inputs(n_tokens: int, n_in: int, seed: int = 1) -> Floats:
    """Such as 8 bits with a scale for 256 hold exactly: nothing of them is lost in products."""
    source = np.random.default_rng(seed)
    found = source.integers(-127, 128, (n_tokens, n_in // BLOCK, BLOCK)).astype(np.float32)
    found[..., 17] = 127
    scales = 2.0 ** source.integers(-6, 3, (n_tokens, n_in // BLOCK, 1))
    return (found * scales.astype(np.float32)).reshape(n_tokens, n_in)


def product(kind: gguf.GGMLQuantizationType, blocks: Bytes, inputs: Floats, n_threads: int = 2) -> Doubles:
    n_rows, (n_tokens, n_in) = len(blocks), inputs.shape
    with Graph() as graph:
        weights = graph.tensor(blocks, int(kind), n_in, n_rows)
        found = graph.product(weights, graph.tensor(inputs, F32, n_in, n_tokens))
        return graph.compute(found, n_tokens, n_rows, n_threads=n_threads).astype(np.float64)


def assert_exact(kind: gguf.GGMLQuantizationType, blocks: Bytes, inputs: Floats, found: Doubles) -> None:
    """As far as sums in single precision are."""
    weights = unpacked(kind, blocks)
    largest = np.abs(inputs).sum(axis=1, dtype=np.float64, keepdims=True) * np.abs(weights).max()
    error = np.abs(found - inputs.astype(np.float64) @ weights.T)
    assert (error <= 1e-6 * largest + 1e-30).all(), f"{(error / largest).max()} of the largest possible sum"


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", range(1, 18))
def test_products_of_any_few_tokens(kind: gguf.GGMLQuantizationType, n_tokens: int) -> None:
    blocks, inputs = packed(kind, 40, 512), exact_inputs(n_tokens, 512)
    assert_exact(kind, blocks, inputs, product(kind, blocks, inputs))


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [33, 255, 256, 257, 600])
def test_products_of_a_prompt(kind: gguf.GGMLQuantizationType, n_tokens: int) -> None:
    blocks, inputs = packed(kind, 35, 256), exact_inputs(n_tokens, 256)
    assert_exact(kind, blocks, inputs, product(kind, blocks, inputs))


@EACH_TYPE
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 15, 16, 17, 31, 100, 2050])
def test_any_number_of_rows_and_threads(kind: gguf.GGMLQuantizationType, n_rows: int, n_threads: int) -> None:
    blocks, inputs = packed(kind, n_rows, 512), exact_inputs(3, 512)
    assert_exact(kind, blocks, inputs, product(kind, blocks, inputs, n_threads))


@EACH_TYPE
@pytest.mark.parametrize("n_in", [256, 512, 768, 2048, 8192])
def test_rows_of_any_length(kind: gguf.GGMLQuantizationType, n_in: int) -> None:
    blocks, inputs = packed(kind, 33, n_in), exact_inputs(9, n_in)
    assert_exact(kind, blocks, inputs, product(kind, blocks, inputs))


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [1, 5, 8, 20])
def test_inputs_are_rounded_to_eight_bits_at_worst(kind: gguf.GGMLQuantizationType, n_tokens: int) -> None:
    blocks = packed(kind, 48, 2048)
    inputs = np.random.default_rng(2).normal(size=(n_tokens, 2048)).astype(np.float32)
    weights = unpacked(kind, blocks)
    half_a_step = np.abs(inputs).reshape(n_tokens, -1, BLOCK).max(axis=-1).astype(np.float64) / 127 / 2
    worst = half_a_step @ np.abs(weights).reshape(48, -1, BLOCK).sum(axis=-1).T
    error = np.abs(product(kind, blocks, inputs) - inputs.astype(np.float64) @ weights.T)
    assert (error <= 1.001 * worst).all()
    assert error.max() <= 0.1 * worst.max(), "errors are random: they do not add up"


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [1, 3, 8, 17])
@pytest.mark.parametrize("bits", [0x00, 0x7F, 0x80, 0xFF])
@pytest.mark.parametrize("sign", [1, -1, 0], ids=["largest", "least", "in turn"])
def test_nothing_saturates(kind: gguf.GGMLQuantizationType, bits: int, sign: int, n_tokens: int) -> None:
    blocks = np.full_like(packed(kind, 20, 1024), bits)
    set_scales(kind, blocks, 1.0)
    signs = np.full((n_tokens, 1024), sign) if sign else np.where(np.arange(1024) % 2, 1, -1) * np.ones((n_tokens, 1))
    inputs = (signs * 127 / 64).astype(np.float32)
    assert_exact(kind, blocks, inputs, product(kind, blocks, inputs))


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [1, 8])
def test_inputs_of_zero_give_zero_beside_others(kind: gguf.GGMLQuantizationType, n_tokens: int) -> None:
    blocks, inputs = packed(kind, 32, 512), exact_inputs(n_tokens, 512)
    inputs[0] = 0
    inputs[-1, :256] = 0
    found = product(kind, blocks, inputs)
    assert (found[0] == 0).all()
    assert_exact(kind, blocks, inputs, found)


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [2, 9])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_inputs_without_a_scale_concern_their_token_only(
    kind: gguf.GGMLQuantizationType, n_tokens: int, value: float
) -> None:
    blocks, inputs = packed(kind, 40, 512), exact_inputs(n_tokens, 512)
    expected = product(kind, blocks, inputs)
    inputs[1, 256:] = value
    found = product(kind, blocks, inputs)
    assert value == 3e38 or not np.isfinite(found[1]).any()
    others = np.arange(n_tokens) != 1
    assert np.array_equal(found[others], expected[others])


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [1, 2, 9])
@pytest.mark.parametrize("factor", [0.0, 1e-44, 1e-38, 1e-36, 1e-30, 1e30])
def test_inputs_of_any_size(kind: gguf.GGMLQuantizationType, factor: float, n_tokens: int) -> None:
    blocks, inputs = packed(kind, 40, 512), exact_inputs(n_tokens, 512)
    inputs[-1] *= np.float32(factor)
    found = product(kind, blocks, inputs)
    assert np.isfinite(found).all()
    assert_exact(kind, blocks, inputs, found)


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [1, 2, 20])
def test_results_do_not_depend_on_the_number_of_threads(kind: gguf.GGMLQuantizationType, n_tokens: int) -> None:
    blocks, inputs = packed(kind, 550, 1024), exact_inputs(n_tokens, 1024)
    found = product(kind, blocks, inputs, 1)
    for n_threads in (2, 3, 8, 64):
        assert np.array_equal(product(kind, blocks, inputs, n_threads), found)


@EACH_TYPE
def test_a_token_gives_the_same_whatever_is_beside_it(kind: gguf.GGMLQuantizationType) -> None:
    blocks, inputs = packed(kind, 40, 1024), exact_inputs(300, 1024)
    found = product(kind, blocks, inputs)
    for n in (2, 3, 7, 64):
        assert np.array_equal(product(kind, blocks, inputs[-n:]), found[-n:])


@EACH_TYPE
@pytest.mark.parametrize("n_tokens", [1, 4, 9])
def test_rows_may_lie_apart(kind: gguf.GGMLQuantizationType, n_tokens: int) -> None:
    blocks, inputs = packed(kind, 50, 1024), exact_inputs(n_tokens, 768)
    wide = np.full((n_tokens, 800), np.nan, dtype=np.float32)
    wide[:, :768] = inputs
    with Graph() as graph:
        whole = graph.tensor(blocks, int(kind), 1024, 50)
        weights = graph.beginnings(whole, 768, n_rows=50, row_bytes=blocks[0].nbytes)
        narrow = graph.beginnings(graph.tensor(wide, F32, 800, n_tokens), 768, n_rows=n_tokens, row_bytes=3200)
        found = graph.compute(graph.product(weights, narrow), n_tokens, 50)
    assert_exact(kind, blocks[:, :3], inputs, found.astype(np.float64))


@EACH_TYPE
def test_several_matrices_at_once(kind: gguf.GGMLQuantizationType) -> None:
    blocks, inputs = packed(kind, 2 * 24, 256), exact_inputs(4 * 3, 256)
    with Graph() as graph:
        weights, many = graph.tensor(blocks, int(kind), 256, 24, 2), graph.tensor(inputs, F32, 256, 3, 4)
        found = graph.compute(graph.product(weights, many), 4, 3, 24)
    for i, (part, of) in enumerate(zip(inputs.reshape(4, 3, 256), found, strict=True)):
        assert_exact(kind, blocks[24 * (i // 2) :][:24], part, of.astype(np.float64))


@EACH_TYPE
def test_weights_as_ggml_quantizes_them(kind: gguf.GGMLQuantizationType) -> None:
    values: Any = np.random.default_rng(3).normal(size=(64, 512)).astype(np.float32)
    with Graph() as graph:
        blocks = graph.quantized(values, int(kind), gguf.GGML_QUANT_SIZES[kind][1])
    blocks = blocks.reshape(64, 2, -1)
    inputs = exact_inputs(6, 512)
    found = product(kind, blocks, inputs)
    assert_exact(kind, blocks, inputs, found)
    exact = inputs.astype(np.float64) @ values.astype(np.float64).T
    assert np.abs(found - exact).std() < 0.1 * exact.std()
