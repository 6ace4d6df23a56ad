"""Quantize a layer in a child process, report on it, and put the result into the store."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.create.layers import NewLayer
from models.create.messages import QUANTIZER, Quantized, QuantizeJob
from models.create.parent import run_child
from models.create.quantization import Quantization
from models.create.request import NO_DIGEST, Progress
from models.library import Library
from registry.digest import Digest
from registry.store import Store

HEARTBEAT_S: Final = 0.2


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
    start = Progress(status, NO_DIGEST, total, total - sum(sizes.values()))
    source = str(store.blobs.path(layer.content))
    with store.blobs.workplace() as target:
        asked = QuantizeJob(source, str(target), job.file_type, list(job.precise), str(importance or ""), sizes, total)
        yield start
        yield from run_child(QUANTIZER, asked, Quantized, start, heartbeat_s=HEARTBEAT_S)
        digest, _ = store.blobs.adopt(target)
    gguf = library.head(store.blobs.path(digest))
    yield Progress("verifying conversion")
    return replace(layer, content=digest, size_bytes=gguf.size_bytes, gguf=gguf, from_name="")
