"""Who may remove what: several servers and commands may work on one store at the same time.

Two rules keep a blob from vanishing under a model that is being built from it:

* The **lock** orders short steps. A step that makes something reachable (a blob's final name, a renewed blob, a
  manifest) holds it shared; a step that decides what is unreachable and removes it holds it exclusively. Nobody holds
  it while data is moved, so nobody waits long.
* A **lease** covers the long time between them. While one is alive, in any process, nobody removes a blob that was
  written or renewed since it began; building a model means writing or renewing each of its blobs. A lease ends with
  its process.

The original knows neither; towards it, as between two of it, young blobs are protected by their age alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from registry.errors import StoreBusy
from registry.files import FILE_MODE, make_directories, open_temporary, translated

log = logging.getLogger(__name__)

MAX_WAIT_S = 60.0
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class StoreLock:
    """The lock of one store, shared between processes and threads; a thread that holds it may take it again."""

    def __init__(self, root: Path, *, max_wait_s: float = MAX_WAIT_S) -> None:
        self.directory = root / ".puna"
        self._path = self.directory / "lock"
        self._max_wait_s = max_wait_s
        self._held: dict[int, bool] = {}
        """Whether exclusively, by the thread that holds it."""

    @contextlib.contextmanager
    def hold(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the lock for the body. Blocks, so never on the event loop.

        Raises: StoreBusy after `max_wait_s`; StoreUnusable when the store cannot be written.
        """
        thread = threading.get_ident()
        held = self._held.get(thread)
        if held is not None:
            assert held or not exclusive, "a shared lock cannot become exclusive: two that try would wait forever"
            yield
            return
        descriptor = self._acquire(exclusive)
        self._held[thread] = exclusive
        try:
            yield
        finally:
            del self._held[thread]
            os.close(descriptor)

    def _acquire(self, exclusive: bool) -> int:
        descriptor = self._open()
        try:
            self._wait_for(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _open(self) -> int:
        make_directories(self.directory)
        with translated("open", self._path):
            try:
                return os.open(self._path, os.O_RDWR | os.O_CREAT, FILE_MODE)
            except PermissionError:
                return os.open(self._path, os.O_RDONLY)  # another user's lock file; on a local disk this is enough

    def _wait_for(self, descriptor: int, kind: int) -> None:
        deadline = time.monotonic() + self._max_wait_s
        pause_s = 0.001
        while not _try_lock(descriptor, kind):
            if time.monotonic() > deadline:
                raise StoreBusy(self._path, self._max_wait_s)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.008)


class Lease:
    """The time in which one model is being built, as a context manager; see the module. Made by `Leases.begin`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def end(self) -> None:
        """End the lease; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()


class Leases:
    """All leases on one store: a file each, locked for as long as its process holds it open."""

    def __init__(self, lock: StoreLock) -> None:
        self._lock = lock
        self._directory = lock.directory / "leases"

    def begin(self) -> Lease:
        """Start a lease now. Raises: StoreUnusable."""
        make_directories(self._directory)
        with self._lock.hold(exclusive=False), translated("open", self._directory):
            descriptor, path = open_temporary(self._directory, "")
            _try_lock(descriptor, fcntl.LOCK_EX)
            return Lease(path, descriptor)

    def oldest_start_ns(self, *, besides: Lease | None = None) -> int | None:
        """When the oldest living lease began, None without one; files of dead leases are removed.

        To be called with the lock held exclusively, so that no lease begins meanwhile.
        """
        starts = [_start_ns(path) for path in self._files() if besides is None or path != besides.path]
        return min((start for start in starts if start is not None), default=None)

    def _files(self) -> list[Path]:
        try:
            return list(self._directory.iterdir())
        except FileNotFoundError:
            return []


def _start_ns(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None  # it ended just now
    except PermissionError:
        return path.stat().st_mtime_ns  # another user's: not ours to test, so it counts as alive
    try:
        if not _try_lock(descriptor, fcntl.LOCK_EX):
            return os.fstat(descriptor).st_mtime_ns
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _warn_without_locks()
    return True


@functools.cache
def _warn_without_locks() -> None:
    log.warning("the file system of the store has no locks: use the store from one process at a time")
