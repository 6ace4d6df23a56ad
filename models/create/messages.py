"""What the server and the children that make files for it say to each other: JSON, a line each.

The server writes one job, and then keeps the child's stdin open as long as it wants the work done. The child answers
with any number of `Written`, and then with the job's result or with `Failed`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

CONVERTER: Final = "models.create.convert.worker"
QUANTIZER: Final = "models.create.quantize"
"""Modules that children run."""

MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class Written(msgspec.Struct, frozen=True, tag=True):
    """So many bytes are done."""

    completed: int
    total: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The text is what the client is told."""

    text: str


class Part(StrEnum):
    """Which of the files that a checkpoint becomes."""

    MODEL = "model"
    PROJECTOR = "projector"
    ADAPTER = "adapter"


class ConvertJob(msgspec.Struct, frozen=True):
    """`files`: paths by the names that the files have for their authors; `name`: what the model will be called."""

    files: dict[str, str]
    name: str
    descriptor: int
    """Of the file to write, which the child inherits."""

    part: Part = Part.MODEL
    base_path: str = ""
    """Of an adapter: the GGUF file of the model that it is for."""


class Converted(msgspec.Struct, frozen=True, tag=True):
    """The file is whole.

    `has_projector`: the checkpoint also has what sees or hears. `had_eight_bits`: its weights were 8-bit floats, and
    need no sixteen bits.
    """

    sha256: str
    size_bytes: int
    has_projector: bool = False
    had_eight_bits: bool = False


class QuantizeJob(msgspec.Struct, frozen=True):
    """From one file into another; `file_type` is llama.h's llama_ftype, `precise` patterns of names with ggml types."""

    source: str
    target: str
    file_type: int
    precise: list[tuple[str, int]]
    importance: str
    """A file that says which weights matter; empty for none."""

    sizes: dict[str, int]
    """Bytes of each tensor of the source, and in `total` those of all of it: what `Written` counts."""

    total: int


class Quantized(msgspec.Struct, frozen=True, tag=True):
    """The target is whole."""


def encode_line(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message) + b"\n"
