"""What the list of models sees of a file: the little that stands before its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.gguf.names import file_type_name
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF, Value

MEDIA: Final = ("vision", "audio")


@dataclass(frozen=True, slots=True)
class Glance:
    """Few facts, cheaply. `media`: what it sees or hears, in the file's order; `file_type` is empty when not met."""

    is_readable: bool = False
    is_embedding: bool = False
    media: tuple[str, ...] = ()
    file_type: str = ""
    context_length: int = 0
    embedding_length: int = 0


def glance(path: Path) -> Glance:
    """Read a file as far as the list does; of version 1 nothing is read.

    Raises: InvalidGGUF; OSError if the file cannot be read.
    # Compat: http-api 6.2: reading stops at the first key of the tokenizer, and keys of the architecture count only
    # behind `general.architecture`; registry-store-cli 10.1.
    """
    gguf = read_gguf(path, tensors=False, until="tokenizer.")
    if gguf.version < 2:
        return Glance()
    seen = _behind_architecture(gguf)
    file_type = gguf.metadata.get("general.file_type")
    return Glance(
        is_readable=True,
        is_embedding="pooling_type" in seen,
        media=tuple(key.partition(".")[0] for key in seen if key in {f"{m}.block_count" for m in MEDIA}),
        file_type=file_type_name(file_type) if isinstance(file_type, int) else "",
        context_length=_integer(seen.get("context_length")),
        embedding_length=_integer(seen.get("embedding_length")),
    )


def _behind_architecture(gguf: GGUF) -> dict[str, Value]:
    """The architecture's own values by their short key."""
    keys, prefix = list(gguf.metadata), f"{gguf.architecture}."
    start = keys.index("general.architecture") if "general.architecture" in keys else len(keys)
    return {key.removeprefix(prefix): gguf.metadata[key] for key in keys[start:] if key.startswith(prefix)}


def _integer(value: Value | None) -> int:
    return value if isinstance(value, int) else 0
