"""Attention as ggml computes it (by Puna's kernel where it is compiled, else by llama.cpp's own) against numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.llama.binding import lib
from tests.models.llama.ggml_graph import F16, F32, Graph, Tensor

pytestmark = pytest.mark.model

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.float16]


def _has_kernel() -> bool:
    """Whether attention is Puna's: its library then has llama.cpp's function under another name, and vectors for it."""
    library = next(Path(lib._lib._name).parent.glob("libggml-cpu*"))
    features = lib.llama_print_system_info().decode()
    has_vectors = all(f"{name} = 1" in features for name in ("AVX2", "FMA", "F16C"))
    return has_vectors and b"llama_cpp_flash_attn_ext" in library.read_bytes()


LOOSE = 2e-2
"""llama.cpp's sums are F16."""

HAS_KERNEL = _has_kernel()

TOLERANCE = 2e-5 if HAS_KERNEL else LOOSE
"""Values are about 1, and one of 5,000 cells weighs 2e-4."""


@dataclass(frozen=True)
class Case:
    n_tokens: int = 1
    n_head: int = 6
    n_head_kv: int = 2
    n_embd_k: int = 64
    n_embd_v: int = 64
    n_stream: int = 1
    n_kv: int = 300
    mask: str = "causal"
    n_threads: int = 2
    sinks: bool = False
    softcap: float = 0.0
    max_bias: float = 0.0
    loudness: float = 1.0
    """What queries are multiplied with."""

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.n_embd_k)


@dataclass(frozen=True)
class Inputs:
    """Axes in ggml's order, turned round: stream, position, head, number."""

    q: npt.NDArray[np.float32]
    k: npt.NDArray[np.float16]
    v: npt.NDArray[np.float16]
    mask: Mask | None
    sinks: npt.NDArray[np.float32] | None


def _causal(case: Case, stream: int, token: int, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return cells <= case.n_kv - case.n_tokens - 3 * stream + token


def _window(case: Case, stream: int, token: int, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return _causal(case, stream, token, cells) & (cells > case.n_kv - case.n_tokens - 3 * stream + token - 37)


SEEN: dict[str, Callable[[Case, int, int, npt.NDArray[np.int64]], npt.NDArray[np.bool_]]] = {
    "causal": _causal,
    "window": _window,
    "of sequences one after another": lambda case, stream, token, cells: cells * case.n_tokens // case.n_kv == token,
    "of sequences in turn": lambda case, stream, token, cells: cells % case.n_tokens == token,
    "prefix and own": lambda case, stream, token, cells: (cells < 100) | ((cells + token) % 50 == 0),
    "any": lambda case, stream, token, cells: np.random.default_rng(token).random(len(cells)) < 0.4,
    "most": lambda case, stream, token, cells: np.random.default_rng(token).random(len(cells)) < 0.8,
    "some rows none": lambda case, stream, token, cells: (cells % 3 > 0) & (token % 2 == 1),
    "one": lambda case, stream, token, cells: cells == (7 * token + stream) % case.n_kv,
}


def _mask(case: Case, rng: np.random.Generator) -> Mask | None:
    if case.mask == "none":
        return None
    if case.mask == "biases":
        values = rng.normal(size=(case.n_stream, case.n_tokens, case.n_kv))
        return np.where(rng.random(values.shape) < 0.2, -np.inf, values).astype(np.float16)
    cells = np.arange(case.n_kv)
    rows = [[SEEN[case.mask](case, s, t, cells) for t in range(case.n_tokens)] for s in range(case.n_stream)]
    seen = np.array(rows)
    distance = np.abs(cells[None, :] - np.arange(case.n_tokens)[:, None]) * (case.max_bias > 0)
    return np.where(seen, -distance, -np.inf).astype(np.float16)


def _inputs(case: Case, seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    # Queries that F16 holds, as llama.cpp's own converts them to it.
    q = case.loudness * rng.normal(size=(case.n_stream, case.n_tokens, case.n_head, case.n_embd_k)).astype(np.float16)
    k = rng.normal(size=(case.n_stream, case.n_kv, case.n_head_kv, case.n_embd_k))
    v = rng.normal(size=(case.n_stream, case.n_kv, case.n_head_kv, case.n_embd_v))
    sinks = rng.normal(size=case.n_head).astype(np.float32) * 3 if case.sinks else None
    return Inputs(q.astype(np.float32), k.astype(np.float16), v.astype(np.float16), _mask(case, rng), sinks)


def _computed(case: Case, of: Inputs) -> npt.NDArray[np.float32]:
    """As llama.cpp asks for it: stream, token, head, number."""
    with Graph() as graph:
        q = graph.tensor(of.q, F32, case.n_embd_k, case.n_head, case.n_tokens, case.n_stream)
        k = graph.tensor(of.k, F16, case.n_embd_k, case.n_head_kv, case.n_kv, case.n_stream)
        v = graph.tensor(of.v, F16, case.n_embd_v, case.n_head_kv, case.n_kv, case.n_stream)
        q, k, v = (graph.permuted(tensor, 0, 2, 1, 3) for tensor in (q, k, v))
        made = graph.attention(
            q, k, v,
            None if of.mask is None else graph.tensor(of.mask, F16, case.n_kv, case.n_tokens, 1, case.n_stream),
            sinks=None if of.sinks is None else graph.tensor(of.sinks, F32, case.n_head),
            scale=case.scale, max_bias=case.max_bias, softcap=case.softcap,
        )  # fmt: skip
        shape = (case.n_stream, case.n_tokens, case.n_head, case.n_embd_v)
        return graph.compute(made, *shape, n_threads=case.n_threads)


def _slopes(case: Case) -> Floats:
    """ALiBi's, https://arxiv.org/abs/2108.12409: a geometric sequence, and every other one of a finer for the rest."""
    if case.max_bias == 0:
        return np.ones(case.n_head)
    half = 1 << int(np.log2(case.n_head))
    first = [2.0 ** (-case.max_bias / half * (head + 1)) for head in range(min(half, case.n_head))]
    rest = [2.0 ** (-case.max_bias / 2 / half * (2 * head + 1)) for head in range(case.n_head - half)]
    return np.array(first + rest)


def _expected(case: Case, of: Inputs) -> Floats:
    group = case.n_head // case.n_head_kv
    k, v = (np.repeat(part.astype(np.float64), group, axis=2) for part in (of.k, of.v))
    scores = np.matmul(of.q.astype(np.float64).transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1)) * case.scale
    if case.softcap:
        scores = case.softcap * np.tanh(scores / case.softcap)
    if of.mask is not None:
        biases = of.mask.astype(np.float64)[:, None]
        scores = scores + np.where(np.isinf(biases), biases, biases * _slopes(case)[:, None, None])
    sinks = np.full(case.n_head, -np.inf) if of.sinks is None else of.sinks.astype(np.float64)
    sinks = np.broadcast_to(sinks[None, :, None, None], (*scores.shape[:3], 1))
    most = np.maximum(scores.max(axis=-1, keepdims=True), sinks)
    most = np.where(np.isinf(most), 0, most)
    weights = np.exp(scores - most)
    total = weights.sum(axis=-1, keepdims=True) + np.exp(sinks - most)
    mixed: Floats = np.matmul(weights / np.where(total == 0, 1, total), v.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    return mixed


def _assert_right(case: Case, *, tolerance: float = TOLERANCE) -> None:
    inputs = _inputs(case)
    np.testing.assert_allclose(_computed(case, inputs), _expected(case, inputs), rtol=0, atol=tolerance)


TOKENS = (1, 2, 3, 5, 16, 17, 63, 64, 100)

HEAD_SIZES = [(size, size) for size in (16, 32, 40, 48, 64, 80, 96, 112, 128, 256)] + [
    (128, 64),
    (192, 128),
    (576, 512),
]

WORK_TO_SHARE = [
    Case(1, n_kv=1),
    Case(1, n_kv=5000),
    Case(1, n_stream=8, n_kv=600),
    Case(1, 71, 1, n_kv=2000, sinks=True),
    Case(2, 4, 4, n_kv=4096, mask="window"),
    Case(8, n_kv=1500, mask="of sequences in turn"),
    Case(16, n_kv=1500),
    Case(100, n_kv=500),
]


@pytest.mark.parametrize("n_tokens", TOKENS)
@pytest.mark.parametrize(("n_head", "n_head_kv"), [(3, 3), (9, 3), (8, 2), (16, 2), (71, 1), (10, 2), (130, 1)])
def test_any_number_of_query_heads_shares_a_kv_head(n_tokens: int, n_head: int, n_head_kv: int) -> None:
    _assert_right(Case(n_tokens, n_head, n_head_kv))


@pytest.mark.parametrize("n_tokens", [1, 3, 17, 70])
@pytest.mark.parametrize(("n_embd_k", "n_embd_v"), HEAD_SIZES)
def test_heads_have_any_size(n_tokens: int, n_embd_k: int, n_embd_v: int) -> None:
    tolerance = TOLERANCE if n_embd_k % 16 == 0 else LOOSE  # which the kernel leaves to llama.cpp's
    _assert_right(Case(n_tokens, 8, 2, n_embd_k, n_embd_v, n_kv=135), tolerance=tolerance)


@pytest.mark.parametrize("n_tokens", [1, 2, 9, 40])
@pytest.mark.parametrize("n_kv", [1, 2, 7, 15, 31, 32, 33, 63, 64, 65, 97, 255, 256, 513, 1000, 5000])
def test_any_number_of_cells_is_weighed(n_tokens: int, n_kv: int) -> None:
    _assert_right(Case(n_tokens, n_kv=n_kv, mask="none"))


@pytest.mark.parametrize("n_tokens", TOKENS)
@pytest.mark.parametrize("mask", ["none", "biases", *SEEN])
def test_only_cells_that_the_mask_shows_count(n_tokens: int, mask: str) -> None:
    _assert_right(Case(n_tokens, mask=mask, n_kv=777))


@pytest.mark.parametrize("n_stream", [2, 8])
@pytest.mark.parametrize("n_tokens", [1, 3, 24, 70])
@pytest.mark.parametrize("mask", ["none", "causal", "any"])
def test_streams_keep_to_their_own_cells(n_stream: int, n_tokens: int, mask: str) -> None:
    _assert_right(Case(n_tokens, n_head=4, n_stream=n_stream, mask=mask))


@pytest.mark.parametrize("n_stream", [1, 3])
@pytest.mark.parametrize("n_tokens", [1, 3, 20, 70])
def test_queries_and_cells_may_be_parts_of_larger_memory(n_tokens: int, n_stream: int) -> None:
    case = Case(n_tokens, n_stream=n_stream, n_kv=200)
    inputs = _inputs(case)
    assert inputs.mask is not None
    with Graph() as graph:
        q, k, v = (graph.permuted(_within_more(graph, part), 0, 2, 1, 3) for part in (inputs.q, inputs.k, inputs.v))
        mask = graph.tensor(inputs.mask, F16, case.n_kv, n_tokens, 1, n_stream)
        made = graph.attention(q, k, v, mask, scale=case.scale)
        found = graph.compute(made, n_stream, n_tokens, case.n_head, case.n_embd_v)
    np.testing.assert_allclose(found, _expected(case, inputs), rtol=0, atol=TOLERANCE)


def _within_more(graph: Graph, values: npt.NDArray[np.float16] | npt.NDArray[np.float32]) -> Tensor:
    """A view of these alone in memory with more of everything, which is NaN."""
    streams, positions, heads, n = values.shape
    memory = np.full((streams + 2, positions + 40, heads + 4, n), np.nan, values.dtype)
    memory[1:-1, :positions, 2:-2] = values
    whole = graph.tensor(memory, F16 if values.dtype == np.float16 else F32, *memory.shape[::-1])
    head, position, stream = memory.strides[2], memory.strides[1], memory.strides[0]
    strides, offset = (head, position, stream), stream + 2 * head
    return graph.view(whole, n, heads, positions, streams, strides=strides, offset=offset)


@pytest.mark.parametrize("n_tokens", [1, 5, 40])
def test_values_may_be_the_beginnings_of_keys(n_tokens: int) -> None:
    case = Case(n_tokens, 16, 1, 576, 512, n_kv=300)
    inputs = _inputs(case)
    inputs = replace(inputs, v=inputs.k[..., :512])
    assert inputs.mask is not None
    with Graph() as graph:
        q = graph.permuted(graph.tensor(inputs.q, F32, 576, 16, n_tokens), 0, 2, 1, 3)
        k = graph.permuted(graph.tensor(inputs.k, F16, 576, 1, 300), 0, 2, 1, 3)
        v = graph.view(k, 512, 300, 1, 1, strides=(2 * 576, 2 * 576, 2 * 576 * 300))
        made = graph.attention(q, k, v, graph.tensor(inputs.mask, F16, 300, n_tokens), scale=case.scale)
        found = graph.compute(made, 1, n_tokens, 16, 512)
    np.testing.assert_allclose(found, _expected(case, inputs), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("n_tokens", [1, 3, 20, 64])
@pytest.mark.parametrize("mask", ["causal", "some rows none"])
def test_sinks_take_weight_and_give_no_value(n_tokens: int, mask: str) -> None:
    _assert_right(Case(n_tokens, mask=mask, sinks=True, n_kv=900))


@pytest.mark.parametrize("n_tokens", [1, 3, 20, 64])
@pytest.mark.parametrize("n_kv", [100, 900])
def test_scores_are_capped_before_the_mask_is_added(n_tokens: int, n_kv: int) -> None:
    _assert_right(Case(n_tokens, softcap=2.0, loudness=4.0, n_kv=n_kv))


@pytest.mark.parametrize("n_tokens", [1, 3, 20, 64])
@pytest.mark.parametrize("n_head", [6, 8])
def test_biases_have_a_slope_for_each_head(n_tokens: int, n_head: int) -> None:
    _assert_right(Case(n_tokens, n_head, max_bias=8.0))


@pytest.mark.parametrize("n_tokens", [1, 3, 20, 64])
def test_rows_that_see_nothing_are_zero(n_tokens: int) -> None:
    case = Case(n_tokens, n_kv=600)
    hidden = replace(_inputs(case), mask=np.full((1, n_tokens, 600), -np.inf, np.float16))
    assert not _computed(case, hidden).any()


@pytest.mark.parametrize("n_tokens", [1, 3, 20, 64])
def test_large_scores_overflow_nowhere(n_tokens: int) -> None:
    # Scores of thousands: F32 rounds them by 1e-4, and about as much the weights.
    _assert_right(Case(n_tokens, loudness=1024.0, n_kv=700), tolerance=max(TOLERANCE, 5e-3))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("case", WORK_TO_SHARE, ids=str)
def test_any_number_of_threads_computes_the_same(n_threads: int, case: Case) -> None:
    _assert_right(replace(case, n_threads=n_threads))


@pytest.mark.skipif(not HAS_KERNEL, reason="llama.cpp multiplies what a token does not see by zero")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mask", ["causal", "window", "any", "most", "of sequences in turn", "some rows none"])
@pytest.mark.parametrize("n_tokens", [1, 3, 20, 64, 100])
def test_cells_that_are_no_numbers_concern_only_tokens_that_see_them(n_tokens: int, mask: str, value: float) -> None:
    case = Case(n_tokens, mask=mask, n_kv=500)
    inputs = _inputs(case)
    assert inputs.mask is not None
    expected, cells = _expected(case, inputs), [499 - n_tokens // 2, 499]
    sees = (inputs.mask[..., cells] != -np.inf).any(axis=-1)
    for part in (inputs.k, inputs.v):
        numbers = part[:, cells].copy()
        part[:, cells] = value
        found = _computed(case, inputs)
        part[:, cells] = numbers
        np.testing.assert_allclose(found[~sees], expected[~sees], rtol=0, atol=TOLERANCE)
        assert not np.isfinite(found[sees]).all(axis=(-1, -2)).any()


@pytest.mark.parametrize("n_tokens", [2, 7, 33, 80])
def test_rows_do_not_depend_on_those_beside_them(n_tokens: int) -> None:
    case = Case(n_tokens, n_kv=800, mask="any")
    inputs = _inputs(case)
    assert inputs.mask is not None
    together = _computed(case, inputs)
    for token in range(0, n_tokens, 6):
        one = slice(token, token + 1)
        alone = _computed(replace(case, n_tokens=1), replace(inputs, q=inputs.q[:, one], mask=inputs.mask[:, one]))
        np.testing.assert_allclose(together[:, one], alone, rtol=0, atol=TOLERANCE)
