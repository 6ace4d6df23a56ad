"""What one server told its clients to be in the store, so that no other server on the same store takes it away.

A client that uploads a file is told that it is there already, and then asks for a model made of it. Between the two no
lease protects the file: the model that had it may be deleted through another server. A promise is a small file, named
by the digest and by who made it; it ends with the model, or after a while.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from registry.digest import Digest
from registry.files import FILE_MODE, make_directories, translated

LASTS_S = 600.0
"""As long as a client may take from its first file to its request: the others have to be uploaded in between."""


class Promises:
    """The promises on one store, as one of its servers. To be called with the store's lock held."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"

    def make(self, digest: Digest) -> None:
        """Promise, or promise anew. Raises: StoreUnusable."""
        make_directories(self._directory)
        path = self._path(digest)
        with translated("open", path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE))
            os.utime(path)

    def end(self, digest: Digest) -> None:
        """A model has the blob now, which protects it better."""
        self._path(digest).unlink(missing_ok=True)

    def of_others(self) -> set[str]:
        """The digests, in lower-case hex, that others have promised; promises that are over are cleared away."""
        found = set()
        expired_ns = time.time_ns() - int(LASTS_S * 1e9)
        for path in self._files():
            hex_digits, _, owner = path.name.partition(".")
            try:
                is_over = path.stat().st_mtime_ns < expired_ns
            except FileNotFoundError:
                continue  # it ended just now
            if is_over:
                path.unlink(missing_ok=True)
            elif owner != self._owner:
                found.add(hex_digits)
        return found

    def _path(self, digest: Digest) -> Path:
        return self._directory / f"{digest.hex.lower()}.{self._owner}"

    def _files(self) -> list[Path]:
        try:
            return list(self._directory.iterdir())
        except FileNotFoundError:
            return []
