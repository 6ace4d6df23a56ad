"""Shards put together in the room of one: what is safe in the new file is given back to the disk at once.

    <blob>-partial      the file in the making; whoever has its lock works on it
    <blob>-partial-0    how much of it is safe on disk, and what it was found to be
    <blob>-partial-<n>  shard n, for whom it has no other name any more

The blob is one that never is: its digest is that of the shards' names. So all of them are, to `registry.prune`, one
unfinished download, and a merge that was killed goes on where it was for as long as such a one would.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.create.layers import NewLayer
from models.create.merge import MERGING, REPORT_BYTES, MergedFile, Source, chunks_of, plan_merged
from models.create.request import NO_DIGEST, Progress
from models.create.split import group_shards, shard_of
from models.create.uploads import layer_kind
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF
from registry.digest import Digest
from registry.errors import BlobNotFound, InvalidDigest, InvalidManifest
from registry.fields import decode_object
from registry.files import read_regular, translated, write_all, write_durably
from registry.gojson import encode
from registry.locks import Lease
from registry.partial import PartialBlob
from registry.store import Store

log = logging.getLogger(__name__)

FREE_BYTES: Final = 256 << 20
"""So much is copied before it is made safe and given back: what the merge needs beside the model's own room."""

_MAX_STATE_BYTES = 4096
_PUNCH_HOLE_KEEP_SIZE = 0x03


@dataclass(frozen=True, slots=True)
class _State:
    """`safe_bytes` of the new file are on disk; `digest` is known of a finished one."""

    safe_bytes: int = 0
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """Bytes for the new file. `taken_bytes`: how far into the shard all is taken then; None at its end."""

    source: Source
    chunk: bytes
    taken_bytes: int | None


class Takeover:
    """The merge of these shards, by their paths in order, under the lease of who needs what comes of it.

    All methods block, and `acquire` comes first.

    A shard that somebody else needs as well (another pull, a client that uploaded it, the cache that it is linked to)
    stays as it is, and so takes its room until they are done.
    """

    def __init__(self, store: Store, shards: Mapping[str, Digest], lease: Lease) -> None:
        self._store = store
        self._shards = dict(shards)
        self._lease = lease
        self._directory = store.blobs.directory
        name = Digest.of("\n".join(["shards", *(str(digest) for digest in shards.values())]).encode())
        self._partial = PartialBlob(self._directory, name)
        self._state: _State | None = None

    def acquire(self) -> bool:
        """Take the lock, and see how far an earlier merge came; False while somebody else has it."""
        if not self._partial.acquire():
            return False
        self._state = self._load()
        return True

    def release(self) -> None:
        """Let others continue, from what there is; a second call does nothing."""
        self._partial.release()

    @property
    def is_begun(self) -> bool:
        """Whether this merge, or an earlier one, has the shards: they need not be in the store then."""
        return self._state is not None

    def begin(self) -> None:
        """Have the shards, which are in the store, under names of our own. Where that cannot be, it is not begun.

        Raises: CreateFailed, InvalidGGUF for shards that do not make a model; StoreUnusable.
        """
        sources = [_read(self._store.blobs.path(digest)) for digest in self._shards.values()]
        if not _is_one_model(self._shards, sources):
            return
        plan_merged(sources)  # says what is wrong while the shards are whole
        try:
            for path, source in zip(self._paths(), sources, strict=True):
                path.unlink(missing_ok=True)
                os.link(source.path, path)
        except OSError as error:
            log.info("the shards stay until they are merged: %s", error)
            self.discard()
            return
        self._save(_State())

    def run(self) -> Generator[Progress, None, Digest]:
        """Make the blob, and return its digest.

        Raises: StoreUnusable; BlobNotFound if it was made earlier, and removed since: the shards are empty by now.
        """
        state = self._state
        assert state is not None, "it was begun"
        if state.digest is not None:
            self._store.blobs.touch(state.digest)
            return state.digest
        self._store.remove_unused(self._shards.values(), lease=self._lease)
        sources = [_read(path) for path in self._paths()]
        merged = plan_merged(sources)
        hash_ = hashlib.sha256()
        for start in range(0, state.safe_bytes, REPORT_BYTES):
            stop = min(start + REPORT_BYTES, state.safe_bytes)
            self._partial.hash_range(hash_, start, stop)
            yield Progress(MERGING, NO_DIGEST, merged.size_bytes, stop)
        yield from self._write(merged, sources, hash_, state.safe_bytes)
        digest = Digest(hash_.hexdigest())
        self._save(_State(merged.size_bytes, digest))  # before it gets its name: afterwards nobody could tell which
        self._store.blobs.adopt_verified(self._partial.path, digest, merged.size_bytes)
        self._partial.release()  # the lock went with the file, to a name that nobody asks for it
        self._partial.acquire()
        return digest

    def discard(self) -> None:
        """Remove what is left of it: a model has the blob, or nobody will. Raises: StoreUnusable.

        Somebody else who has the lock by now needs the rest, and will remove it.
        """
        if self._partial.is_held:
            self._partial.discard_records()
            with translated("truncate", self._partial.path):
                os.truncate(self._partial.path, 0)  # an empty file goes with the lock

    # -- the new file ------------------------------------------------------------------------------------------------

    def _write(
        self, merged: MergedFile, sources: Sequence[Source], hash_: hashlib._Hash, safe_bytes: int
    ) -> Generator[Progress, None, None]:
        """Append what is missing; after every so many bytes, what is on disk then is freed in the shards."""
        with translated("write", self._partial.path), self._partial.path.open("r+b", buffering=0) as file:
            file.truncate(safe_bytes)
            file.seek(safe_bytes)
            written = reported = safe_bytes
            for step in _missing(merged, sources, safe_bytes):
                write_all(file.fileno(), step.chunk)
                hash_.update(step.chunk)
                written += len(step.chunk)
                if written - reported >= REPORT_BYTES:
                    reported = written
                    yield Progress(MERGING, NO_DIGEST, merged.size_bytes, written)
                if step.taken_bytes is None or written - safe_bytes >= FREE_BYTES:
                    os.fsync(file.fileno())
                    safe_bytes = written
                    self._save(_State(safe_bytes))
                    _free(step.source, step.taken_bytes)

    # -- its state ---------------------------------------------------------------------------------------------------

    def _paths(self) -> list[Path]:
        name = self._partial.path.name
        return [self._directory / f"{name}-{n}" for n in range(1, len(self._shards) + 1)]

    @property
    def _record(self) -> Path:
        return self._directory / f"{self._partial.path.name}-0"

    def _save(self, state: _State) -> None:
        fields = {"safe": state.safe_bytes, "digest": str(state.digest) if state.digest else ""}
        write_durably(self._record, encode(fields) + b"\n", self._directory, "sha256-")
        self._state = state

    def _load(self) -> _State | None:
        """None without a merge that can go on. Raises: StoreUnusable."""
        try:
            fields = decode_object(read_regular(self._record, _MAX_STATE_BYTES)[0])
            digest = Digest.parse(text) if (text := fields.text("digest")) else None
            safe_bytes = fields.integer("safe")
        except FileNotFoundError:
            return None
        except (OSError, InvalidManifest, InvalidDigest) as error:
            log.warning("starting over with %s: %s", self._record.name, error)
            return None
        if digest is not None:
            with suppress(BlobNotFound):
                self._store.blobs.touch(digest)  # so that nobody removes it before it has a model again
                return _State(digest=digest)
        with translated("stat", self._partial.path):
            size_bytes = self._partial.path.stat().st_size
        if not 0 <= safe_bytes <= size_bytes or not all(path.is_file() for path in self._paths()):
            log.warning("starting over with %s: parts of it are gone", self._record.name)
            return None
        return _State(safe_bytes)


def _is_one_model(names: Mapping[str, Digest], sources: Sequence[Source]) -> bool:
    """Whether the files are the shards of one model, all of them and in this order. Raises: CreateFailed."""
    shards = []
    for (name, digest), source in zip(names.items(), sources, strict=True):
        layer = NewLayer(layer_kind(source.gguf), digest, source.gguf.size_bytes, name, gguf=source.gguf)
        shard = shard_of(name, layer)
        if shard is None:
            return False
        shards.append(shard)
    return group_shards(shards) == [shards]


def _read(path: Path) -> Source:
    """Raises: InvalidGGUF, StoreUnusable."""
    with translated("read", path):
        return Source(path, read_gguf(path))


def _missing(merged: MergedFile, sources: Sequence[Source], from_byte: int) -> Iterator[_Step]:
    """What the new file has from there on, and the end of each shard once more."""
    position = len(merged.head)
    if from_byte < position:
        yield _Step(sources[0], merged.head[from_byte:], 0)
    for source, stretches in zip(sources, merged.stretches, strict=True):
        for stretch in stretches:
            done = max(0, from_byte - position)
            position += stretch.padded_bytes
            if done >= stretch.padded_bytes:
                continue
            for chunk in chunks_of(stretch, done):
                done += len(chunk)
                yield _Step(source, chunk, stretch.offset + min(done, stretch.size_bytes))
        yield _Step(source, b"", None)


# ---- room


def _free(source: Source, taken_bytes: int | None) -> None:
    """Give back the room of a shard's tensors, up to there or of all; its head stays, and so does its length.

    Nothing is given back of a shard that has another name: somebody else needs it.
    """
    try:
        descriptor = os.open(source.path, os.O_RDWR)
    except PermissionError:
        return  # another user's, linked into our store
    try:
        state = os.fstat(descriptor)
        if state.st_nlink > 1:
            return
        if taken_bytes is None:
            os.ftruncate(descriptor, source.gguf.data_offset)
            os.ftruncate(descriptor, state.st_size)
        elif _is_in_order(source.gguf):
            _punch(descriptor, source.gguf.data_offset, taken_bytes)
    finally:
        os.close(descriptor)


def _is_in_order(gguf: GGUF) -> bool:
    """Whether the tensors lie one behind the other as they are listed, as nothing but custom demands."""
    end = 0
    for tensor in gguf.tensors or ():
        if tensor.offset < end:
            return False
        end = tensor.offset + tensor.size_bytes
    return True


def _punch(descriptor: int, start: int, stop: int) -> None:
    """Make a hole in a file. Where that cannot be, the room is given back at the end of the shard."""
    fallocate = _fallocate()
    if fallocate is not None and stop > start and fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, start, stop - start):
        log.debug("no hole in a file here: %s", os.strerror(ctypes.get_errno()))


@functools.cache
def _fallocate() -> Callable[..., int] | None:
    """Linux's own call, for which Python has no name; None elsewhere."""
    if ctypes.sizeof(ctypes.c_long) < 8:  # the size of its offsets
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    function.restype = ctypes.c_int
    return function
