"""New GGUF files from uploaded ones: shards put together, a key added. Everything else is copied as it is."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models.create.layers import NewLayer
from models.create.request import NO_DIGEST, Progress
from models.create.split import Shard
from models.errors import CreateFailed
from models.gguf.names import TENSOR_TYPES
from models.gguf.values import GGUF, TensorInfo, ValueType
from models.gguf.writer import aligned, encode_pair, encode_start, encode_tensor, lay_out
from models.library import Library
from registry.digest import Digest
from registry.gojson import quote
from registry.store import Store

CHUNK_BYTES: Final = 1024 * 1024
REPORT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file, followed by zeros up to a multiple of the alignment."""

    path: Path
    offset: int
    size_bytes: int
    padded_bytes: int


def merge_shards(store: Store, library: Library, shards: Sequence[Shard]) -> Generator[Progress, None, NewLayer]:
    """One file with the metadata of the first shard and the tensors of all.

    Raises: CreateFailed, InvalidGGUF, StoreUnusable.
    """
    first = shards[0].layer
    layers = [shard.layer for shard in shards]
    pairs = [pair for key, pair in _pairs(store, first) if not _is_about_splitting(key)]
    digest = yield from _write(store, pairs, layers, "merging GGUF shards")
    gguf = library.head(store.blobs.path(digest))
    return replace(first, content=digest, size_bytes=gguf.size_bytes, gguf=gguf)


def _is_about_splitting(key: str) -> bool:
    return key.startswith("split.") or ".split." in key


def with_projector_type(store: Store, library: Library, layer: NewLayer) -> Generator[Progress, None, NewLayer]:
    """The projector with the type that those without one have: `mlp`. Raises: as `merge_shards`."""
    order = _gguf(layer).byte_order
    added = encode_pair("clip.projector_type", ValueType.STRING, "mlp", order)
    pairs = [*(pair for _, pair in _pairs(store, layer)), added]
    digest = yield from _write(store, pairs, [layer], "updating GGUF projector metadata")
    gguf = library.head(store.blobs.path(digest))
    return replace(layer, content=digest, size_bytes=gguf.size_bytes, gguf=gguf)


def _gguf(layer: NewLayer) -> GGUF:
    assert layer.gguf is not None, "an upload has been read"
    if layer.gguf.version == 1:
        raise CreateFailed("GGUF version 1 is too old to be rewritten")
    return layer.gguf


def _path(store: Store, layer: NewLayer) -> Path:
    assert isinstance(layer.content, Digest), "an upload is in the store"
    return store.blobs.path(layer.content)


def _pairs(store: Store, layer: NewLayer) -> Iterator[tuple[str, bytes]]:
    """The file's keys with their encoded pairs, byte for byte."""
    with _path(store, layer).open("rb") as file:
        for key, (start, end) in _gguf(layer).spans.items():
            file.seek(start)
            yield key, file.read(end - start)


def _write(
    store: Store, pairs: Sequence[bytes], layers: Sequence[NewLayer], status: str
) -> Generator[Progress, None, Digest]:
    """Write a blob of these pairs and all tensors of these layers; a report for every so many bytes."""
    first = _gguf(layers[0])
    if any(_gguf(layer).byte_order is not first.byte_order for layer in layers):
        raise CreateFailed("shards of a split GGUF differ in byte order")
    tensors = [tensor for layer in layers for tensor in _gguf(layer).tensors or ()]
    unknown = next((tensor for tensor in tensors if tensor.type not in TENSOR_TYPES), None)
    if unknown is not None:
        raise CreateFailed(f"tensor {quote(unknown.name)} has the unknown type {unknown.type}")
    head = _head(pairs, lay_out(tensors, first.alignment), first)
    stretches = [
        stretch for layer in layers for stretch in _stretches(_path(store, layer), _gguf(layer), first.alignment)
    ]
    total = len(head) + sum(stretch.padded_bytes for stretch in stretches)
    with store.blobs.writer(size_bytes=total) as writer:
        writer.write(head)
        written, reported = len(head), 0
        for chunk in _chunks(stretches):
            writer.write(chunk)
            written += len(chunk)
            if written - reported >= REPORT_BYTES:
                reported = written
                yield Progress(status, NO_DIGEST, total, written)
        digest, _ = writer.commit()
    return digest


def _head(pairs: Sequence[bytes], tensors: Iterable[TensorInfo], like: GGUF) -> bytes:
    entries = [encode_tensor(tensor, like.byte_order) for tensor in tensors]
    head = encode_start(len(entries), len(pairs), like.byte_order) + b"".join(pairs) + b"".join(entries)
    return head.ljust(aligned(len(head), like.alignment), b"\0")


def _stretches(path: Path, gguf: GGUF, alignment: int) -> Iterator[Stretch]:
    for tensor in gguf.tensors or ():
        size = tensor.size_bytes
        yield Stretch(path, gguf.data_offset + tensor.offset, size, aligned(size, alignment))


def _chunks(stretches: Iterable[Stretch]) -> Iterator[bytes]:
    for stretch in stretches:
        with stretch.path.open("rb") as file:
            file.seek(stretch.offset)
            left = stretch.size_bytes
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise CreateFailed(f"{stretch.path.name} ended while it was copied")
                left -= len(chunk)
                yield chunk
        yield bytes(stretch.padded_bytes - stretch.size_bytes)
