"""Both forms of an importance matrix, and files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from models.create.importance import InvalidImportance, read_importance
from models.gguf.values import TensorInfo
from tests.fakes.gguf_file import gguf_bytes


def old_file(*entries: tuple[str, int, list[float]], claimed: int | None = None) -> bytes:
    found = struct.pack("<i", len(entries) if claimed is None else claimed)
    for name, n_calls, values in entries:
        found += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", n_calls, len(values))
        found += struct.pack(f"<{len(values)}f", *values)
    return found


def gguf_file(tensors: dict[str, list[list[float]]], *, kind: int = 0) -> bytes:
    arrays = {name: np.array(rows, dtype="<f4") for name, rows in tensors.items()}
    infos, at = [], 0
    for name, array in arrays.items():
        infos.append(TensorInfo(name, tuple(reversed(array.shape)), kind, at))
        at += -(-array.nbytes // 32) * 32
    head = gguf_bytes({"general.type": "imatrix"}, infos)[: -at or None]
    return head + b"".join(array.tobytes().ljust(-(-array.nbytes // 32) * 32, b"\0") for array in arrays.values())


def read(folder: Path, content: bytes) -> dict[str, list[float]]:
    file = folder / "imatrix"
    file.write_bytes(content)
    return {name: values.tolist() for name, values in read_importance(file).items()}


def test_the_old_form_is_divided_by_its_calls(tmp_path: Path) -> None:
    content = old_file(("a.weight", 2, [2.0, 4.0]), ("b.weight", 0, [3.0])) + struct.pack("<ii", 7, 0)
    assert read(tmp_path, content) == {"a.weight": [1.0, 2.0], "b.weight": [3.0]}


def test_the_form_in_gguf_is_divided_by_the_counts_of_each_expert(tmp_path: Path) -> None:
    content = gguf_file({"e.weight.in_sum2": [[2.0, 4.0], [9.0, 9.0]], "e.weight.counts": [[2.0], [0.0]]})
    assert read(tmp_path, content) == {"e.weight": [1.0, 2.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cut short"),
        (b"\x01\0\0", "cut short"),
        (old_file(), "empty"),
        (old_file(("a", 1, [1.0]), claimed=2), "cut short"),
        (old_file(("a", 1, [1.0]), claimed=-1), "cut short"),
        (old_file(("a", 1, [1.0]))[:-1], "cut short"),
        (struct.pack("<ii", 1, 2**31 - 1), "cut short"),
        (old_file(("a", 1, [float("nan")])), "not finite"),
        (gguf_file({"e.in_sum2": [[1.0]]}), "no sums and counts for e"),
        (gguf_file({"e.in_sum2": [[1.0, 2.0]], "e.counts": [[1.0], [1.0], [1.0]]}), "do not fit"),
        (gguf_file({"e.other": [[1.0]]}), "empty"),
        (b"GGUF\3\0\0\0", "cannot be read"),
    ],
)
def test_what_is_no_importance_matrix_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(InvalidImportance, match=why):
        read(tmp_path, content)
