"""An unfinished download on disk, in the form of Ollama's own: each continues what the other began.

`<blob>-partial` has the data at their final offsets, `<blob>-partial-<N>` how much of part N is there.
# Compat: registry-store-cli 2.1, 3.3.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.digest import Digest
from registry.errors import InvalidManifest, StoreUnusable
from registry.fields import decode_object
from registry.files import FILE_MODE, make_directories, read_regular, translated
from registry.gojson import encode

log = logging.getLogger(__name__)

PART_BYTES = 100_000_000
MAX_PARTS = 4096
_MAX_STATE_BYTES = 4096


@dataclass(slots=True)
class Part:
    """A stretch of the blob, of which the first `completed_bytes` are in the data file."""

    n: int
    offset: int
    size_bytes: int
    completed_bytes: int = 0

    @property
    def position(self) -> int:
        """The offset in the blob of the first byte that is missing."""
        return self.offset + self.completed_bytes

    @property
    def missing_bytes(self) -> int:
        return self.size_bytes - self.completed_bytes


def plan_parts(total_bytes: int, part_bytes: int = PART_BYTES) -> list[Part]:
    """Cut a blob into parts.

    # Compat: registry-store-cli 3.3; the original's parts of a large blob are up to ten times as large. Small ones keep
    # what is downloaded at a time close together, so that it is hashed before it has left the page cache.
    """
    size = max(part_bytes, -(-total_bytes // MAX_PARTS))
    return [Part(n, offset, min(size, total_bytes - offset)) for n, offset in enumerate(range(0, total_bytes, size))]


def is_complete_plan(parts: Sequence[Part], total_bytes: int) -> bool:
    """Whether the parts, in order of their offsets, cover the blob without gap or overlap."""
    position = 0
    for part in parts:
        if part.offset != position or part.size_bytes <= 0 or not 0 <= part.completed_bytes <= part.size_bytes:
            return False
        position += part.size_bytes
    return position == total_bytes and len({part.n for part in parts}) == len(parts)


class PartialBlob:
    """The files of one unfinished download, held by one process at a time. All methods block."""

    def __init__(self, directory: Path, digest: Digest) -> None:
        self._directory = directory
        self.path = directory / f"{digest.file_name}-partial"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Open the data file for this process alone; False while another one has it.

        Raises: StoreUnusable.
        """
        make_directories(self._directory)
        with translated("open", self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
            if not _is_locked_now(descriptor) or not self._is_current(descriptor):
                os.close(descriptor)
                return False
        self._descriptor = descriptor
        return True

    @property
    def is_held(self) -> bool:
        """Whether it is ours: `acquire` has opened it, and nothing has released it since."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let others continue, from what there is; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if os.fstat(descriptor).st_size == 0 and self._is_current(descriptor):
                self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def load(self, total_bytes: int | None) -> list[Part]:
        """The parts of an earlier attempt, by offset; none if they are not sound, or of a blob of another size."""
        try:
            parts = sorted((_read_part(path) for path in self._state_paths()), key=lambda part: part.offset)
        except (InvalidManifest, OSError, ValueError) as error:
            log.warning("starting over with %s: %s", self.path.name, error)
            return []
        found_bytes = sum(part.size_bytes for part in parts)
        if not is_complete_plan(parts, found_bytes if total_bytes is None else total_bytes):
            return []
        length = os.fstat(self._opened()).st_size
        for part in parts:
            part.completed_bytes = min(part.completed_bytes, max(0, length - part.offset))
        return parts

    def begin(self, parts: Sequence[Part], *, planned_now: bool) -> None:
        """Make room for the parts, and with `planned_now` record them in place of whatever was recorded.

        Raises: StoreUnusable, also when the disk has no room for all of them.
        """
        total_bytes = sum(part.size_bytes for part in parts)
        with translated("truncate", self.path):
            state = os.fstatvfs(self._opened())
            needed = total_bytes - os.fstat(self._opened()).st_blocks * 512
            if needed > state.f_bavail * state.f_frsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._opened(), total_bytes)
        if planned_now:
            self.discard_records()
            for part in parts:
                self.save(part)

    def write(self, part: Part, chunks: Sequence[bytes]) -> None:
        """Append to what the part has, first the data, then the record of it. Raises: StoreUnusable."""
        position = part.position
        with translated("write", self.path):
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    n_written = os.pwrite(self._opened(), rest, position)
                    rest, position = rest[n_written:], position + n_written
        part.completed_bytes = position - part.offset
        self.save(part)

    def save(self, part: Part) -> None:
        """Record how much of the part is there, in one step that no kill can halve. Raises: StoreUnusable."""
        fields = {"N": part.n, "Offset": part.offset, "Size": part.size_bytes, "Completed": part.completed_bytes}
        record = encode(fields) + b"\n"
        path = self._state_path(part.n)
        with translated("write", path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, FILE_MODE)
            try:
                os.pwrite(descriptor, record, 0)
                if os.fstat(descriptor).st_size > len(record):  # readers stop at the end of the first JSON value
                    os.ftruncate(descriptor, len(record))
            finally:
                os.close(descriptor)

    def hash_range(self, hash_: hashlib._Hash, start: int, stop: int) -> None:
        """Feed the data from `start` to `stop` to a hash. Raises: StoreUnusable."""
        buffer = memoryview(bytearray(min(stop - start, 1 << 20)))
        while start < stop:
            with translated("read", self.path):
                n_read = os.preadv(self._opened(), [buffer[: stop - start]], start)
            if n_read == 0:
                raise StoreUnusable(f"read {self.path}: the file became shorter")
            hash_.update(buffer[:n_read])
            start += n_read

    def sync(self) -> None:
        """Have what was written so far reach the disk, so that the end of the download does not wait for all of it.

        Raises: StoreUnusable.
        """
        with translated("fsync", self.path):
            os.fdatasync(self._opened())

    def discard(self) -> None:
        """Remove data and records, which leaves an empty, unnamed data file open. Raises: StoreUnusable."""
        with translated("remove", self.path):
            self.path.unlink(missing_ok=True)
        self.discard_records()

    def discard_records(self) -> None:
        """Remove the records alone: after the data got the blob's name. Raises: StoreUnusable."""
        for path in self._state_paths():
            with translated("remove", path):
                path.unlink(missing_ok=True)

    def _opened(self) -> int:
        assert self._descriptor is not None, "acquire() comes first"
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked file still has its name: the one before us may have finished or discarded it."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _state_path(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{n}")

    def _state_paths(self) -> list[Path]:
        return list(self._directory.glob(f"{self.path.name}-*"))


def _is_locked_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    return True


def _read_part(path: Path) -> Part:
    content, _ = read_regular(path, _MAX_STATE_BYTES)
    fields = decode_object(content)
    part = Part(fields.integer("N"), fields.integer("Offset"), fields.integer("Size"), fields.integer("Completed"))
    if str(part.n) != path.name.rpartition("-")[2]:
        raise InvalidManifest(f"{path.name} is the record of part {part.n}")
    return part
