"""Quantize a layer in a child process, report on it, and put the result into the store."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from models.create.layers import NewLayer
from models.create.merge import NO_DIGEST
from models.create.quantization import Quantization
from models.create.request import Progress
from models.errors import CreateFailed
from models.library import Library
from registry.digest import Digest
from registry.store import Store

logger = logging.getLogger(__name__)

WORKER = "models.create.quantize"


def quantized(
    store: Store, library: Library, layer: NewLayer, job: Quantization, importance: Path | None = None
) -> Generator[Progress, None, NewLayer]:
    """The layer in its new type, without a file name of its own; closing the generator ends the work at once.

    `importance`: a file that says which weights matter (`models.create.importance`).
    Raises: CreateFailed, StoreUnusable.
    # Compat: registry-store-cli 6.4: the statuses; `completed` counts bytes of the source.
    """
    assert layer.gguf is not None and isinstance(layer.content, Digest), "weights that are in the store"
    sizes = {tensor.name: tensor.size_bytes for tensor in layer.gguf.tensors or ()}
    status, total = f"quantizing {job.source} model to {job.target}", layer.size_bytes
    completed = total - sum(sizes.values())
    with store.blobs.workplace() as target:
        asked = {
            "source": str(store.blobs.path(layer.content)),
            "target": str(target),
            "file_type": job.file_type,
            "precise": job.precise,
            "importance": str(importance or ""),
        }
        yield Progress(status, NO_DIGEST, total, completed)
        for tensor in _tensors_done(json.dumps(asked)):
            completed += sizes.pop(tensor, 0)
            yield Progress(status, NO_DIGEST, total, completed)
        digest, _ = store.blobs.adopt(target)
    gguf = library.head(store.blobs.path(digest))
    yield Progress("verifying conversion")
    return replace(layer, content=digest, size_bytes=gguf.size_bytes, gguf=gguf, from_name="")


def _tensors_done(job: str) -> Iterator[str]:
    """Names of tensors as they are finished, empty ones while one takes its time. Raises: CreateFailed."""
    with tempfile.TemporaryFile() as log, _child(log) as (to_child, from_child):
        to_child.write(job + "\n")
        to_child.flush()
        for line in from_child:
            said = json.loads(line)
            if "failed" in said:
                raise CreateFailed(f"quantizing failed: {said['failed']}")
            if "done" in said:
                return
            yield said.get("tensor", "")
        log.seek(0)
        end = log.read()[-4096:].decode("utf-8", "replace").strip()
        logger.error("quantizing ended without a result; the end of its log: %s", end)
        raise CreateFailed(f"quantizing failed: its process ended: {end.rpartition(chr(10))[2]}")


@contextmanager
def _child(log: IO[bytes]) -> Iterator[tuple[IO[str], IO[str]]]:
    """The child's stdin and stdout; it is killed at the end, if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.kill()
        process.stdout.close()
        process.stdin.close()
        process.wait()
