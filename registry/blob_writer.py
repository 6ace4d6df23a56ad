"""Content on its way into the store: hashed while it is written, visible only when it is complete and right."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from registry.digest import Digest
from registry.errors import DigestMismatch, SizeMismatch
from registry.files import FILE_MODE, make_directories, open_temporary, translated, write_all

_BUFFER_BYTES = 1 << 20

Place = Callable[[Path, Digest, int], bool]
"""Give a finished temporary file its final name; whether the content is new."""


class BlobWriter:
    """One blob being written by a thread; a context manager that removes what was not committed.

    Calls from several threads are put in order, and a write after the end is dropped: a cancelled task cannot stop the
    thread that is still writing for it.
    """

    def __init__(self, directory: Path, place: Place, expected: Digest | None, size_bytes: int | None) -> None:
        self._place = place
        self._expected = expected
        self._size_bytes = size_bytes
        self._n_written = 0
        self._hash = hashlib.sha256()
        self._turn = threading.Lock()
        self._directory = directory
        self._file: tuple[int, Path] | None = None
        self._is_over = False

    def write(self, chunk: bytes | memoryview) -> None:
        """Append a chunk.

        Raises: SizeMismatch as soon as there are too many bytes; StoreUnusable.
        """
        with self._turn:
            if self._is_over:
                return
            self._n_written += len(chunk)
            if self._size_bytes is not None and self._n_written > self._size_bytes:
                raise SizeMismatch(self._size_bytes, self._n_written)
            self._hash.update(chunk)
            descriptor, path = self._opened()
            with translated("write", path):
                write_all(descriptor, chunk)

    def commit(self) -> tuple[Digest, bool]:
        """Check the content and make it visible; returns its digest and whether it is new.

        Raises: SizeMismatch, DigestMismatch, StoreUnusable; nothing is visible then.
        """
        with self._turn:
            assert not self._is_over, "a blob is committed once, before it is discarded"
            digest = self._checked_digest()
            descriptor, path = self._opened()
            with translated("fsync", path):
                os.fchmod(descriptor, FILE_MODE)
                os.fsync(descriptor)
            created = self._place(path, digest, self._n_written)
            self._close()
            return digest, created

    def discard(self) -> None:
        """Remove what was not committed; a second call does nothing."""
        with self._turn:
            if self._file is not None:
                self._file[1].unlink(missing_ok=True)
            self._close()

    def _checked_digest(self) -> Digest:
        if self._size_bytes is not None and self._n_written != self._size_bytes:
            raise SizeMismatch(self._size_bytes, self._n_written)
        digest = Digest(self._hash.hexdigest())
        if self._expected is not None and digest.hex != self._expected.hex.lower():
            raise DigestMismatch(self._expected, digest)
        return self._expected or digest

    def _opened(self) -> tuple[int, Path]:
        if self._file is None:
            make_directories(self._directory)
            with translated("open", self._directory):
                # Compat: registry-store-cli 2.1: under such a name the original, too, clears away what a crash left.
                self._file = open_temporary(self._directory, "sha256-")
        return self._file

    def _close(self) -> None:
        self._is_over = True
        if self._file is not None:
            os.close(self._file[0])
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


class Ingest:
    """One blob being written by a task: `async with`, `write` for each chunk, `commit`.

    Hashing and writing happen in threads; memory stays at one buffer and one chunk, because `write` waits for the disk.
    """

    def __init__(self, writer: BlobWriter) -> None:
        self._writer = writer
        self._chunks: list[bytes] = []
        self._n_buffered = 0

    async def write(self, chunk: bytes) -> None:
        """Append a chunk. Raises: as BlobWriter.write."""
        self._chunks.append(chunk)
        self._n_buffered += len(chunk)
        if self._n_buffered >= _BUFFER_BYTES:
            await asyncio.to_thread(self._flush, self._take())

    async def commit(self) -> tuple[Digest, bool]:
        """Check the content and make it visible. Raises: as BlobWriter.commit."""
        return await asyncio.to_thread(self._finish, self._take())

    def _take(self) -> list[bytes]:
        chunks, self._chunks, self._n_buffered = self._chunks, [], 0
        return chunks

    def _flush(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._writer.write(chunk)

    def _finish(self, chunks: list[bytes]) -> tuple[Digest, bool]:
        self._flush(chunks)
        return self._writer.commit()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Shielded: a task that is cancelled again while it cleans up still removes its file.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._writer.discard))
