"""Weights are repacked where that makes them faster."""

from __future__ import annotations

import pytest

from models.gguf.values import GGUF, ByteOrder, TensorInfo
from models.llama.repacking import Q4_K, is_faster_repacked

Q4_0, Q8_0, Q6_K = 2, 8, 14
SMALL, LARGE = (256, 64), (1024, 64)


def file_with(*tensors: tuple[tuple[int, ...], int]) -> GGUF:
    listed = tuple(TensorInfo(f"t{i}", shape, ggml_type, 0) for i, (shape, ggml_type) in enumerate(tensors))
    return GGUF(version=3, byte_order=ByteOrder.LITTLE, size_bytes=0, tensors=listed)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (((LARGE, Q4_K), (SMALL, Q6_K)), False),
        (((SMALL, Q4_K), (LARGE, Q6_K)), False),  # what nobody repacks does not count
        (((LARGE, Q4_K), (SMALL, Q4_0)), False),
        (((SMALL, Q4_K), (LARGE, Q4_0)), True),
        (((LARGE, Q8_0),), True),
        ((), True),
        (((LARGE, Q4_K), ((256, 64, 8), Q4_K)), True),  # experts
    ],
)
def test_files_that_are_faster_repacked(tensors: tuple[tuple[tuple[int, ...], int], ...], expected: bool) -> None:
    assert is_faster_repacked(file_with(*tensors)) is expected
