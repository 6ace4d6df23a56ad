"""The content-addressed half of the store: `blobs/sha256-<hex>`, each file named by the hash of its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from registry.blob_writer import BlobWriter, Ingest
from registry.digest import Digest
from registry.errors import BlobNotFound, BlobTooLarge, DigestMismatch, InvalidDigest
from registry.files import FILE_MODE, make_directories, open_temporary, read_regular, sync_directory, translated
from registry.locks import StoreLock

log = logging.getLogger(__name__)

DEFAULT_READ_LIMIT_BYTES = 64 << 20
_REHASH_LIMIT_BYTES = 1 << 20


class BlobStore:
    """The blobs below `root`, the models directory. All methods but `ingest` block and belong into threads.

    Every method that makes a blob usable (writing it, `touch`) also renews its age, which protects it from being
    removed as unreferenced: see `registry.locks` and `registry.prune`.
    """

    def __init__(self, root: Path, lock: StoreLock | None = None) -> None:
        self.directory = root / "blobs"
        self._lock = lock or StoreLock(root)

    def path(self, digest: Digest) -> Path:
        """Where the content is, or would be."""
        return self.directory / digest.file_name

    def has(self, digest: Digest) -> bool:
        path = self.path(digest)
        with translated("stat", path):
            return path.is_file()

    def size(self, digest: Digest) -> int:
        """The size of the file in bytes. Raises: BlobNotFound."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error

    def read_bytes(self, digest: Digest, limit_bytes: int = DEFAULT_READ_LIMIT_BYTES) -> bytes:
        """The whole content. Raises: BlobNotFound; BlobTooLarge beyond `limit_bytes`; StoreUnusable."""
        path = self.path(digest)
        with translated("read", path):
            try:
                content, state = read_regular(path, limit_bytes)
            except FileNotFoundError as error:
                raise BlobNotFound(digest) from error
        if len(content) > limit_bytes:
            raise BlobTooLarge(digest, state.st_size, limit_bytes)
        return content

    def digests(self) -> Iterator[Digest]:
        """Every complete blob, in no order."""
        for entry in self._entries():
            try:
                digest = Digest.parse(entry.name)
            except InvalidDigest:
                continue
            if digest.file_name == entry.name and entry.is_file():
                yield digest

    def touch(self, digest: Digest) -> None:
        """Renew the age of a blob that is about to be referenced again. Raises: BlobNotFound."""
        with self._lock.hold(exclusive=False):
            if not self.has(digest):
                raise BlobNotFound(digest)
            _renew(self.path(digest))

    def put_bytes(self, content: bytes) -> tuple[Digest, bool]:
        """Store small content; returns its digest and whether it is new. Raises: StoreUnusable."""
        digest = Digest.of(content)
        with self._lock.hold(exclusive=False):
            if self._is_intact(digest, len(content)):
                _renew(self.path(digest))
                return digest, False
        with self.writer() as writer:
            writer.write(content)
            return writer.commit()

    def writer(self, digest: Digest | None = None, size_bytes: int | None = None) -> BlobWriter:
        """Write one blob from a thread; what is known about it beforehand is checked before it becomes visible."""
        return BlobWriter(self.directory, self._place, digest, size_bytes)

    def ingest(self, digest: Digest | None = None, size_bytes: int | None = None) -> Ingest:
        """Write one blob from a task; what is known about it beforehand is checked before it becomes visible."""
        return Ingest(self.writer(digest, size_bytes))

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A new, empty file beside the blobs, to be filled and adopted; removed in the end if it was not.

        Raises: StoreUnusable.
        """
        make_directories(self.directory)
        with translated("create", self.directory):
            descriptor, path = open_temporary(self.directory, "sha256-")
        os.close(descriptor)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, digest: Digest | None = None) -> tuple[Digest, bool]:
        """Move a finished file, on the same file system, into the store; its content must not change any more.

        Raises: DigestMismatch; StoreUnusable.
        """
        with translated("adopt", path), path.open("rb") as file:
            actual = Digest(hashlib.file_digest(file, "sha256").hexdigest())
            if digest is not None and actual.hex != digest.hex.lower():
                raise DigestMismatch(digest, actual)
            final = digest or actual
            make_directories(self.directory)
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
            return final, self._place(path, final, os.fstat(file.fileno()).st_size)

    def adopt_verified(self, path: Path, digest: Digest, size_bytes: int) -> bool:
        """Move a file whose content was hashed while it came into the store; whether the content is new there.

        Raises: StoreUnusable.
        """
        with translated("adopt", path), path.open("rb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
        return self._place(path, digest, size_bytes)

    def remove(self, digest: Digest) -> bool:
        """Remove a blob, wanted or not; whether there was one. Deciding is `registry.store`'s business."""
        path = self.path(digest)
        with translated("remove", path):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def _place(self, temporary: Path, digest: Digest, size_bytes: int) -> bool:
        """Give a verified file its final name, unless the store has the content already."""
        final = self.path(digest)
        with self._lock.hold(exclusive=False), translated("rename", final):
            if self._is_intact(digest, size_bytes):
                temporary.unlink()
                _renew(final)
                return False
            _renew(temporary)
            os.replace(temporary, final)
            sync_directory(self.directory)
            return True

    def _is_intact(self, digest: Digest, size_bytes: int) -> bool:
        """Whether the store's copy can stand for content just seen.

        A writer that does not sync leaves short files and empty blocks behind when the power fails; among large files
        only the former are looked for.
        """
        path = self.path(digest)
        if not path.is_file() or path.stat().st_size != size_bytes:
            return False
        return size_bytes > _REHASH_LIMIT_BYTES or Digest.of(path.read_bytes()).hex == digest.hex.lower()

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.directory) as entries:
                yield from entries
        except FileNotFoundError:
            return


def _renew(path: Path) -> None:
    """# Compat: registry-store-cli 2.7: writing a layer sets its time in every case."""
    try:
        os.utime(path)
    except PermissionError:
        log.warning("cannot renew the time of %s, which belongs to another user", path)
