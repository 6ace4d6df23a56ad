"""What a server and the child that converts for it say to each other: JSON, a line each.

The server writes one `Job` and then nothing; the child answers with any number of `Written`, then `Finished` or
`Failed`. The file itself goes through a descriptor that the child inherits.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

WORKER: Final = "models.create.convert.worker"
MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class Part(StrEnum):
    """Which of the files that a checkpoint becomes."""

    MODEL = "model"
    PROJECTOR = "projector"
    ADAPTER = "adapter"


class Job(msgspec.Struct, frozen=True):
    """`files`: paths by the names that the files have for their authors; `name`: what the model will be called."""

    files: dict[str, str]
    name: str
    part: Part = Part.MODEL
    base_path: str = ""
    """Of an adapter: the GGUF file of the model that it is for."""


class Written(msgspec.Struct, frozen=True, tag=True):
    """So many bytes are done."""

    completed: int
    total: int


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The file is whole.

    `has_projector`: the checkpoint also has what sees or hears. `had_eight_bits`: it had no more than eight bits a
    weight, and needs no sixteen.
    """

    sha256: str
    size_bytes: int
    has_projector: bool = False
    had_eight_bits: bool = False


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The text is what the client is told."""

    text: str


FromChild = Written | Finished | Failed

_job_decoder = msgspec.json.Decoder(Job)
_answer_decoder: msgspec.json.Decoder[FromChild] = msgspec.json.Decoder(FromChild)


def encode_line(message: Job | FromChild) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def decode_job(line: bytes) -> Job:
    return _job_decoder.decode(line)


def decode_answer(line: bytes) -> FromChild:
    return _answer_decoder.decode(line)
