"""Durable file operations: what has its final name is whole, and is still there after the power failed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from registry.errors import StoreUnusable

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
TEMPORARY_MODE = 0o600

_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


@contextlib.contextmanager
def translated(operation: str, path: Path, hint: str = "") -> Iterator[None]:
    """Turn an OSError of the body into StoreUnusable, worded as Go words it: `<operation> <path>: <reason>`."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise StoreUnusable(f"{operation} {path}: {reason}{hint}", error.errno) from error


def make_directories(path: Path) -> None:
    """Create the directory and its parents, each entry durable.

    Raises: StoreUnusable.
    # Compat: registry-store-cli 2.1: modes and the text of the failure.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_directories(path.parent)
    with translated("mkdir", path, ": ensure path elements are traversable"):
        try:
            path.mkdir(DIRECTORY_MODE)
        except FileExistsError:
            if not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            return
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where its file system can."""
    with translated("fsync", path), contextlib.suppress(PermissionError):  # a parent may be searched but not read
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY_SYNC:
                raise
        finally:
            os.close(descriptor)


def open_temporary(directory: Path, prefix: str, mode: int = TEMPORARY_MODE) -> tuple[int, Path]:
    """A new, empty file, open for writing; its name is `prefix` and random digits."""
    while True:
        path = directory / f"{prefix}{secrets.randbelow(10**10)}"
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), path


def write_durably(path: Path, content: bytes, workplace: Path, prefix: str) -> None:
    """Replace a file as a whole, by way of an unfinished one in `workplace` whose name begins with `prefix`.

    Raises: StoreUnusable; the file is then as it was.
    """
    with translated("write", path):
        descriptor, temporary = open_temporary(workplace, prefix, FILE_MODE)
        try:
            try:
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_directory(path.parent)


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write every byte; the system may take fewer at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_regular(path: Path, limit_bytes: int) -> tuple[bytes, os.stat_result]:
    """Content and state of a regular file; of a longer one only the first `limit_bytes` + 1 bytes.

    Raises: OSError, also when the path is no regular file (a pipe there must not block its readers).
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{path.name} is not a regular file")
        return file.read(min(state.st_size, limit_bytes) + 1), state
