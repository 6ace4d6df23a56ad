"""What a GGUF file has, small enough to keep: its keys, and of each tensor type, shape and digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType

MAX_KEPT = 12


def describe(path: Path) -> dict[str, Any]:
    reader = GGUFReader(path)
    keys = {name: _value(field) for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {
        t.name: [t.tensor_type.name, [int(n) for n in t.shape], hashlib.sha256(t.data.tobytes()).hexdigest()[:32]]
        for t in reader.tensors
    }
    return {"keys": dict(sorted(keys.items())), "tensors": dict(sorted(tensors.items()))}


def _value(field: Any) -> list[Any]:
    """Types, then the value; of long lists their length and digest."""
    value = field.contents()
    kinds = [kind.name for kind in field.types]
    if field.types[0] is GGUFValueType.ARRAY and len(value) > MAX_KEPT:
        return [*kinds, len(value), hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]]
    return [*kinds, value]
