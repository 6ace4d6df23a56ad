"""Writes a planned file, hashing while it is written: one thread computes, one writes."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from models.create.convert.numbers import Array
from models.create.convert.plan import Plan, PlannedTensor
from models.gguf.values import TensorInfo
from models.gguf.writer import aligned, encode_start, encode_tensor, lay_out
from registry.files import write_all

ALIGNMENT: Final = 32
PIECE_BYTES: Final = 4 * 1024 * 1024
N_WAITING: Final = 4
"""Pieces that may wait for the disk."""


class OutputFile:
    """A file being written through a descriptor. Raises, from any method: OSError of the write that failed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[memoryview | None] = queue.Queue(N_WAITING)
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._drain, name="output", daemon=True)
        self._thread.start()
        self.size_bytes = 0

    def write(self, content: bytes | Array) -> None:
        """Append; the content must not change any more."""
        view = memoryview(content) if isinstance(content, bytes) else content.view(np.uint8).data
        for start in range(0, view.nbytes, PIECE_BYTES):
            if self._error is not None:
                raise self._error
            self._pieces.put(view[start : start + PIECE_BYTES])
        self.size_bytes += view.nbytes

    def finish(self) -> str:
        """Wait until everything is written; the SHA-256 of it, in hex."""
        self._pieces.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    def _drain(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if self._error is None:
                try:
                    self._hash.update(piece)
                    write_all(self._descriptor, piece)
                except OSError as error:
                    self._error = error


def write_plan(plan: Plan, file: OutputFile, report: Callable[[int, int], None]) -> None:
    """Write the whole file; `report` hears how many bytes of how many, after every tensor's part."""
    head, total = encode_head(plan)
    file.write(head)
    for planned in plan.tensors:
        start = file.size_bytes
        for piece in planned.tensor.encoded(planned.kind):
            file.write(piece)
            report(file.size_bytes, total)
        written = file.size_bytes - start
        if written != tensor_info(planned).size_bytes:
            raise AssertionError(f"{planned.name}: {written} bytes")
        file.write(bytes(aligned(written, ALIGNMENT) - written))


def encode_head(plan: Plan) -> tuple[bytes, int]:
    """Everything before the tensors' data, and the size of the whole file."""
    pairs = plan.keys.encoded()
    infos = lay_out(map(tensor_info, plan.tensors), ALIGNMENT)
    entries = [encode_tensor(info) for info in infos]
    head = encode_start(len(entries), len(pairs)) + b"".join(pairs) + b"".join(entries)
    head = head.ljust(aligned(len(head), ALIGNMENT), b"\0")
    return head, len(head) + sum(aligned(info.size_bytes, ALIGNMENT) for info in infos)


def tensor_info(planned: PlannedTensor) -> TensorInfo:
    """The entry of a tensor, without its place."""
    return TensorInfo(planned.name, planned.shape[::-1], planned.kind.ggml, 0)
