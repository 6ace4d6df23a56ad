"""Importance matrices: how much each column of a tensor matters, measured by llama.cpp's `llama-imatrix`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from models.errors import InvalidGGUF, ModelError
from models.gguf.reader import is_gguf, read_gguf
from models.gguf.values import GGUF, TensorInfo

Values = npt.NDArray[np.float32]

SUMS, COUNTS = ".in_sum2", ".counts"
MAX_BYTES = 4 << 30
MAX_NAME_BYTES = 1024
F32 = 0


class InvalidImportance(ModelError):
    """A file that is no importance matrix; the text says why."""


def read_importance(path: Path) -> dict[str, Values]:
    """Tensor's name → mean square of the input of each of its columns, float32; experts one after the other.

    Raises: InvalidImportance, OSError.
    Source: llama.cpp, common/imatrix-loader.cpp and tools/quantize: both forms of the file, and what is made of them.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InvalidImportance("the importance matrix is too large")
    with path.open("rb") as file:
        head = file.read(4)
    found = _read_gguf(path) if is_gguf(head) else _read_old(path)
    if not found:
        raise InvalidImportance("the importance matrix is empty")
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise InvalidImportance(f"the importance matrix has values for {name} that are not finite")
    return found


# ---- GGUF: sums of squares and, for each expert, how many inputs they are of


def _read_gguf(path: Path) -> dict[str, Values]:
    try:
        gguf = read_gguf(path)
    except InvalidGGUF as error:
        raise InvalidImportance(f"the importance matrix cannot be read: {error}") from error
    tensors = {tensor.name: tensor for tensor in gguf.tensors or ()}
    names = [name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS)]
    return {name: _mean(path, gguf, tensors[name + SUMS], tensors.get(name + COUNTS)) for name in names}


def _mean(path: Path, gguf: GGUF, sums: TensorInfo, counts: TensorInfo | None) -> Values:
    if counts is None or sums.type != F32 or counts.type != F32 or not counts.n_elements:
        raise InvalidImportance(f"the importance matrix has no sums and counts for {sums.name.removesuffix(SUMS)}")
    if sums.n_elements % counts.n_elements:
        raise InvalidImportance(f"the importance matrix has as many counts for {sums.name} as do not fit")
    of_experts = np.rint(_values(path, gguf, counts))[:, None]
    total = _values(path, gguf, sums).reshape(len(of_experts), -1)
    mean = np.where(of_experts > 0, total / np.maximum(of_experts, 1), np.float32(1))  # an expert never used: all alike
    return np.ascontiguousarray(mean.astype(np.float32).ravel())


def _values(path: Path, gguf: GGUF, tensor: TensorInfo) -> Values:
    order = "<" if gguf.byte_order.name == "LITTLE" else ">"
    offset = gguf.data_offset + tensor.offset
    return np.fromfile(path, dtype=f"{order}f4", count=tensor.n_elements, offset=offset).astype(np.float32)


# ---- the older form: entries of a name, a number of calls, and sums


def _read_old(path: Path) -> dict[str, Values]:
    with path.open("rb") as file:
        try:
            return dict(_old_entries(file, path.stat().st_size))
        except (struct.error, UnicodeDecodeError) as error:
            raise InvalidImportance("the importance matrix is cut short, or none at all") from error


def _old_entries(file: BinaryIO, size_bytes: int) -> Iterator[tuple[str, Values]]:
    for _ in range(_count(file, size_bytes)):
        name = file.read(_count(file, MAX_NAME_BYTES)).decode()
        n_calls = _count(file, 2**31 - 1)
        n_values = _count(file, size_bytes // 4)
        raw = file.read(4 * n_values)
        if len(raw) < 4 * n_values:
            raise struct.error
        yield name, np.frombuffer(raw, dtype="<f4").astype(np.float32) / np.float32(n_calls or 1)


def _count(file: BinaryIO, limit: int) -> int:
    (number,) = struct.unpack("<i", file.read(4))
    if not 0 <= number <= limit:
        raise struct.error
    return int(number)
