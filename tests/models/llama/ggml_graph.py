"""Single operations of ggml, computed by the CPU backend that Puna loads: what the tests of its kernels compare."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.llama.binding import lib

Tensor = int
"""The address of a ggml_tensor."""

F32, F16 = 0, 1
"""Types of ggml; the others are numbered in gguf.GGMLQuantizationType."""


class _InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def _load(name: str) -> ctypes.CDLL:
    """A library that is already in the process, beside libllama."""
    here = Path(lib._lib._name).parent
    return ctypes.CDLL(str(next(here.glob(f"lib{name}.*"))))


class Graph:
    """A graph of few operations, with memory of its own."""

    def __init__(self, *, mebibytes: int = 256) -> None:
        self._base, self._cpu = _load("ggml-base"), _load("ggml-cpu")
        for name in ("ggml_init", "ggml_new_tensor_4d", "ggml_permute", "ggml_flash_attn_ext", "ggml_mul_mat",
                     "ggml_new_graph", "ggml_get_data", "ggml_view_4d"):  # fmt: skip
            getattr(self._base, name).restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._base.ggml_init(_InitParams(mebibytes << 20, None, False)))

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._base.ggml_free(self._context)

    def tensor(self, values: npt.NDArray[Any], ggml_type: int, *shape: int) -> Tensor:
        """The bytes of `values` as a tensor. `shape`: elements, ggml's order (the row first), one to four numbers."""
        extents = [ctypes.c_int64(n) for n in (*shape, 1, 1, 1)[:4]]
        made: Tensor = self._base.ggml_new_tensor_4d(self._context, ggml_type, *extents)
        data = np.ascontiguousarray(values)
        ctypes.memmove(self._data(made), data.ctypes.data, data.nbytes)
        return made

    def permuted(self, tensor: Tensor, *axes: int) -> Tensor:
        """A view: axis i of the tensor becomes axis `axes[i]`."""
        found: Tensor = self._base.ggml_permute(self._context, ctypes.c_void_p(tensor), *axes)
        return found

    def beginnings(self, rows: Tensor, n: int, *, n_rows: int, row_bytes: int) -> Tensor:
        """A view: the first `n` numbers of each row. `row_bytes`: from row to row."""
        return self.view(rows, n, n_rows, 1, 1, strides=(row_bytes, row_bytes * n_rows, row_bytes * n_rows))

    def view(self, tensor: Tensor, *shape: int, strides: tuple[int, int, int], offset: int = 0) -> Tensor:
        """`shape`: four numbers, ggml's order. `strides`: bytes from row to row, matrix to matrix, and beyond."""
        found: Tensor = self._base.ggml_view_4d(
            self._context, ctypes.c_void_p(tensor), *(ctypes.c_int64(n) for n in shape),
            *(ctypes.c_size_t(n) for n in (*strides, offset)),
        )  # fmt: skip
        return found

    def product(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """ggml_mul_mat: weights of (n_in, n_out), inputs of (n_in, n_tokens); (n_out, n_tokens)."""
        found: Tensor = self._base.ggml_mul_mat(self._context, ctypes.c_void_p(weights), ctypes.c_void_p(inputs))
        return found

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *,
        sinks: Tensor | None = None, scale: float = 1.0, max_bias: float = 0.0, softcap: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """ggml_flash_attn_ext: q (n_embd, n_tokens, n_head, n_stream), k and v (n_embd, n_kv, n_head_kv, n_stream),
        mask F16 (n_kv, n_tokens, 1, n_stream); (n_embd_v, n_head, n_tokens, n_stream).
        """
        found: Tensor = self._base.ggml_flash_attn_ext(
            self._context, *(ctypes.c_void_p(part) for part in (q, k, v, mask)),
            ctypes.c_float(scale), ctypes.c_float(max_bias), ctypes.c_float(softcap),
        )  # fmt: skip
        if sinks is not None:
            self._base.ggml_flash_attn_ext_add_sinks(ctypes.c_void_p(found), ctypes.c_void_p(sinks))
        return found

    def compute(self, tensor: Tensor, *shape: int, n_threads: int = 2) -> npt.NDArray[np.float32]:
        """The tensor's values. `shape`: numpy's order, the row last."""
        graph = ctypes.c_void_p(self._base.ggml_new_graph(self._context))
        self._base.ggml_build_forward_expand(graph, ctypes.c_void_p(tensor))
        status = self._cpu.ggml_graph_compute_with_ctx(self._context, graph, n_threads)
        assert status == 0, "the graph was computed"
        values: Any = (ctypes.c_float * int(np.prod(shape))).from_address(self._data(tensor))
        return np.frombuffer(values, dtype=np.float32).reshape(shape).copy()

    def quantized(self, values: npt.NDArray[np.float32], ggml_type: int, block_bytes: int) -> npt.NDArray[np.uint8]:
        """Rows of values as ggml quantizes them, in blocks of 256: the bytes of all."""
        found = np.zeros(values.size // 256 * block_bytes, dtype=np.uint8)
        data = np.ascontiguousarray(values)
        self._base.ggml_quantize_chunk.restype = ctypes.c_size_t
        written = self._base.ggml_quantize_chunk(
            ggml_type, data.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(0), ctypes.c_int64(len(data)), ctypes.c_int64(data.shape[1]), None,
        )  # fmt: skip
        assert written == found.nbytes, "every row was quantized"
        return found

    def _data(self, tensor: Tensor) -> int:
        found: int = self._base.ggml_get_data(ctypes.c_void_p(tensor))
        return found
