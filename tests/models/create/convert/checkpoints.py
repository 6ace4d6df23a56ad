"""Tiny models as their authors would publish them: configuration and random weights, the same every time."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One model. `tensors`: shapes by name; a name may end in `:F32` and the like where it differs from `dtype`."""

    name: str
    config: dict[str, Any]
    tensors: dict[str, Shape]
    tokenizer: Callable[[Path, dict[str, Any]], None]
    dtype: str = "BF16"
    n_shards: int = 1
    pre: str = "default"
    files: dict[str, Any] = field(default_factory=dict)
    weights: str = "model"
    sees: bool = False


def write_case(case: Case, directory: Path) -> None:
    """The model's files, in a directory that is made for it."""
    directory.mkdir(parents=True)
    if case.config:
        (directory / "config.json").write_text(json.dumps(case.config))
    case.tokenizer(directory, case.config)
    for name, content in case.files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content if isinstance(content, str) else json.dumps(content))
    items = [_split(name, shape, case.dtype) for name, shape in case.tensors.items()]
    if case.n_shards == 1:
        write_safetensors(directory / f"{case.weights}.safetensors", items)
        return
    weight_map: dict[str, str] = {}
    for number in range(case.n_shards):
        file_name = f"model-{number + 1:05}-of-{case.n_shards:05}.safetensors"
        part = items[number :: case.n_shards]
        write_safetensors(directory / file_name, part)
        weight_map |= {name: file_name for name, _, _ in part}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _split(name: str, shape: Shape, dtype: str) -> tuple[str, Shape, str]:
    stem, _, other = name.partition(":")
    return stem, shape, other or dtype


# ---- weights

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}


def write_safetensors(path: Path, items: list[tuple[str, Shape, str]]) -> None:
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    chunks: list[bytes] = []
    at = 0
    for name, shape, dtype in items:
        raw = random_bytes(name, shape, dtype)
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        chunks.append(raw)
        at += len(raw)
    text = json.dumps(head).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def random_bytes(name: str, shape: Shape, dtype: str) -> bytes:
    """Numbers between -0.5 and 0.5 that depend on the name alone."""
    n_elements = int(np.prod(shape, dtype=np.int64))
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    raw = np.random.PCG64(seed).random_raw(max(n_elements, 1))[:n_elements]
    if dtype == "U8":
        return (raw >> np.uint64(56)).astype(np.uint8).tobytes()
    if dtype == "F8_E4M3":
        codes = (raw >> np.uint64(56)).astype(np.uint8)
        return np.where((codes & 0x7F) == 0x7F, np.uint8(0), codes).astype(np.uint8).tobytes()
    if dtype == "I64":
        return np.arange(n_elements, dtype=np.int64).tobytes()
    floats = ((raw >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5).astype(np.float32)
    if dtype == "BF16":
        return (floats.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return floats.astype(np.float16 if dtype == "F16" else np.float32).tobytes()
