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
MERGING: Final = "merging GGUF shards"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file, followed by zeros up to a multiple of the alignment."""

    path: Path
    offset: int
    size_bytes: int
    padded_bytes: int


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and what it says of itself."""

    path: Path
    gguf: GGUF


@dataclass(frozen=True, slots=True)
class MergedFile:
    """A file to be written: `head`, then the stretches of each source in turn."""

    head: bytes
    stretches: tuple[tuple[Stretch, ...], ...]

    @property
    def size_bytes(self) -> int:
        return len(self.head) + sum(stretch.padded_bytes for part in self.stretches for stretch in part)


def merge_shards(store: Store, library: Library, shards: Sequence[Shard]) -> Generator[Progress, None, NewLayer]:
    """One file with the metadata of the first shard and the tensors of all.

    Raises: CreateFailed, InvalidGGUF, StoreUnusable.
    """
    first = shards[0].layer
    merged = plan_merged([_source(store, shard.layer) for shard in shards])
    digest = yield from _write(store, merged, MERGING)
    gguf = library.head(store.blobs.path(digest))
    return replace(first, content=digest, size_bytes=gguf.size_bytes, gguf=gguf)


def plan_merged(shards: Sequence[Source]) -> MergedFile:
    """What `merge_shards` writes. Raises: CreateFailed."""
    pairs = [pair for key, pair in _pairs(shards[0]) if not _is_about_splitting(key)]
    return _plan(pairs, shards)


def chunks_of(stretch: Stretch, skip_bytes: int = 0) -> Iterator[bytes]:
    """The bytes and the zeros behind them, without the first so many. Raises: CreateFailed."""
    with stretch.path.open("rb") as file:
        file.seek(stretch.offset + skip_bytes)
        left = max(0, stretch.size_bytes - skip_bytes)
        while left:
            chunk = file.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise CreateFailed(f"{stretch.path.name} ended while it was copied")
            left -= len(chunk)
            yield chunk
    yield bytes(stretch.padded_bytes - max(stretch.size_bytes, skip_bytes))


def _is_about_splitting(key: str) -> bool:
    return key.startswith("split.") or ".split." in key


def with_projector_type(store: Store, library: Library, layer: NewLayer) -> Generator[Progress, None, NewLayer]:
    """The projector with the type that those without one have: `mlp`. Raises: as `merge_shards`."""
    source = _source(store, layer)
    added = encode_pair("clip.projector_type", ValueType.STRING, "mlp", source.gguf.byte_order)
    pairs = [*(pair for _, pair in _pairs(source)), added]
    digest = yield from _write(store, _plan(pairs, [source]), "updating GGUF projector metadata")
    gguf = library.head(store.blobs.path(digest))
    return replace(layer, content=digest, size_bytes=gguf.size_bytes, gguf=gguf)


def _source(store: Store, layer: NewLayer) -> Source:
    assert layer.gguf is not None and isinstance(layer.content, Digest), "an upload is in the store, and has been read"
    return Source(store.blobs.path(layer.content), layer.gguf)


def _pairs(source: Source) -> Iterator[tuple[str, bytes]]:
    """The file's keys with their encoded pairs, byte for byte."""
    with source.path.open("rb") as file:
        for key, (start, end) in source.gguf.spans.items():
            file.seek(start)
            yield key, file.read(end - start)


def _plan(pairs: Sequence[bytes], sources: Sequence[Source]) -> MergedFile:
    """A file of these pairs and all tensors of these files. Raises: CreateFailed."""
    first = sources[0].gguf
    if any(source.gguf.version == 1 for source in sources):
        raise CreateFailed("GGUF version 1 is too old to be rewritten")
    if any(source.gguf.byte_order is not first.byte_order for source in sources):
        raise CreateFailed("shards of a split GGUF differ in byte order")
    tensors = [tensor for source in sources for tensor in source.gguf.tensors or ()]
    unknown = next((tensor for tensor in tensors if tensor.type not in TENSOR_TYPES), None)
    if unknown is not None:
        raise CreateFailed(f"tensor {quote(unknown.name)} has the unknown type {unknown.type}")
    head = _head(pairs, lay_out(tensors, first.alignment), first)
    return MergedFile(head, tuple(tuple(_stretches(source, first.alignment)) for source in sources))


def _write(store: Store, merged: MergedFile, status: str) -> Generator[Progress, None, Digest]:
    """Write it as a blob; a report for every so many bytes."""
    total = merged.size_bytes
    with store.blobs.writer(size_bytes=total) as writer:
        writer.write(merged.head)
        written, reported = len(merged.head), 0
        for chunk in (chunk for part in merged.stretches for stretch in part for chunk in chunks_of(stretch)):
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


def _stretches(source: Source, alignment: int) -> Iterator[Stretch]:
    for tensor in source.gguf.tensors or ():
        size = tensor.size_bytes
        yield Stretch(source.path, source.gguf.data_offset + tensor.offset, size, aligned(size, alignment))
