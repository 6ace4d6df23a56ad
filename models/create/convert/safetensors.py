"""The heads of safetensors files: which tensors there are, and where. Nothing in a head is believed unchecked.

Source: the format's own description (github.com/huggingface/safetensors): eight bytes of length, JSON, data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from models.create.convert.numbers import DTYPES, Kind
from models.errors import CreateFailed
from registry.gojson import quote

MAX_HEAD_BYTES: Final = 100 * 1024 * 1024
"""The format's own limit."""

MAX_NAME_CHARACTERS: Final = 1024
MAX_DIMENSIONS: Final = 8
LENGTH_BYTES: Final = 8
METADATA: Final = "__metadata__"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file; `offset` and `size_bytes` lie inside the file."""

    path: Path
    kind: Kind
    shape: tuple[int, ...]
    offset: int
    size_bytes: int


def read_head(path: Path, title: str) -> dict[str, StoredTensor]:
    """The tensors of a file, by name. `title` is what errors call the file.

    Raises: CreateFailed for a head that is malformed, or points outside of the file, or at the same bytes twice.
    # Compat: registry-store-cli 11.3: the original believes the length of the head.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > min(MAX_HEAD_BYTES, size_bytes - LENGTH_BYTES):
            raise _invalid(title, f"a head of {length} bytes")
        raw = file.read(length)
    base = LENGTH_BYTES + length
    found = {
        name: _parse_entry(title, name, entry, path, base, size_bytes)
        for name, entry in _parse_json(title, raw).items()
        if name != METADATA
    }
    _check_overlaps(title, found.values())
    return dict(sorted(found.items()))


def _parse_json(title: str, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise _invalid(title, "a name stands there twice")
        return members

    try:
        head = json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _invalid(title, "a head that is not JSON") from error
    if not isinstance(head, dict):
        raise _invalid(title, "a head that is not a JSON object")
    return head


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _parse_entry(title: str, name: str, entry: Any, path: Path, base: int, file_bytes: int) -> StoredTensor:
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise _invalid(title, "a tensor without a proper name")
    if not isinstance(entry, dict):
        raise _invalid(title, f"tensor {quote(name)} is not described")
    kind = DTYPES.get(str(entry.get("dtype")))
    if kind is None:
        raise CreateFailed(f"unknown data type: {entry.get('dtype')}")  # Compat: registry-store-cli 6.6
    shape, offsets = _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if shape is None or offsets is None or len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise _invalid(title, f"tensor {quote(name)} has no proper shape or offsets")
    start, end = offsets
    size_bytes = math.prod(shape) * kind.item_bytes
    if end - start != size_bytes or base + end > file_bytes:
        raise _invalid(title, f"tensor {quote(name)} lies outside of the file, or is not of its size")
    return StoredTensor(path, kind, shape, base + start, size_bytes)


def _counts(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value):
        return tuple(value)
    return None


def _check_overlaps(title: str, tensors: Iterable[StoredTensor]) -> None:
    """Shared bytes would let a small file grow without end."""
    end = 0
    for tensor in sorted((t for t in tensors if t.size_bytes), key=lambda t: t.offset):
        if tensor.offset < end:
            raise _invalid(title, "tensors overlap")
        end = tensor.offset + tensor.size_bytes


def _invalid(title: str, reason: str) -> CreateFailed:
    return CreateFailed(f"invalid safetensors file {quote(title)}: {reason}")
