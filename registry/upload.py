"""One blob from the store to a registry: a session, parts in order, a commit; each step repeated while that may help.

# Compat: registry-store-cli 4; Ollama server/upload.go 0.33.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from registry.client import RegistryClient, is_passing
from registry.digest import Digest
from registry.errors import ConnectionFailed, RegistryRefused, RetriesExhausted, Stalled
from registry.files import translated
from registry.pace import Pace
from registry.partial import PART_BYTES
from registry.threads import in_thread

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PART_BYTES = 1_000_000_000
_READ_BYTES = 1 << 20
_REPEATABLE = frozenset((401, 416))
"""Besides what passes by itself: a token that had to be fetched, a part that the session has in part."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one request of an upload carries."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.size_bytes


def plan_stretches(total_bytes: int, part_bytes: int = PART_BYTES) -> list[Stretch]:
    """Cut a blob into sixteen parts, though not into smaller ones than `part_bytes`, nor into very large ones.

    # Compat: registry-store-cli 3.3, part size.
    """
    size = min(max(total_bytes // 16, part_bytes), MAX_PART_BYTES)
    return [Stretch(offset, min(size, total_bytes - offset)) for offset in range(0, total_bytes, size)]


class UploadTask:
    """One blob on its way out. `completed_bytes` of `total_bytes` were sent; it never goes back."""

    def __init__(self, client: RegistryClient, path: Path, digest: Digest, total_bytes: int, pace: Pace) -> None:
        self.total_bytes = total_bytes
        self.completed_bytes = 0
        self._client = client
        self._path = path
        self._digest = digest
        self._pace = pace
        self._url = ""
        self._descriptor: int | None = None
        self._free_streams = asyncio.Semaphore(pace.n_streams)

    async def run(self, mount_from: str) -> None:
        """Send the blob, unless the registry can take it from the repository `mount_from`.

        Raises: TransferError, StoreUnusable.
        """
        session = await self._client.begin_upload(self._digest, mount_from)
        if session is None:
            return
        self._url = session.url
        try:
            await in_thread(self._open)
            sums = await self._send_all()
        finally:
            self._close()
        etag = f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"
        await self._persist(lambda: self._commit(etag))

    def _open(self) -> None:
        with translated("open", self._path):
            self._descriptor = os.open(self._path, os.O_RDONLY)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    async def _send_all(self) -> list[bytes]:
        """The binary MD5 of each part. A registry that redirects parts takes several at once."""
        assert self._descriptor is not None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for stretch in plan_stretches(self.total_bytes, self._pace.part_bytes):
                    sender = _Sender(self._descriptor, stretch, self._path)
                    target = await self._persist(lambda sender=sender: self._send(sender))  # type: ignore[misc]
                    if target is not None:
                        await self._free_streams.acquire()
                        tasks.append(group.create_task(self._redirected(sender, target)))
                    else:
                        tasks.append(group.create_task(_known(sender.md5())))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _send(self, sender: _Sender) -> str | None:
        """Send one part, from where the session lacks it; the address that wants it instead, if there is one."""
        stretch = sender.stretch
        start = await self._find_start(stretch) if sender.has_begun else stretch.offset
        if start == stretch.end:
            return None
        content = sender.content(start, self._report)
        session = await self._client.send_part(self._url, start, stretch.end - start, content)
        self._url = session.url
        return session.target

    async def _find_start(self, stretch: Stretch) -> int:
        """After a failure: how far the session has the part; its beginning where the registry does not tell."""
        found = await self._client.find_uploaded(self._url)
        if found is None:
            return stretch.offset
        self._url = found[0].url
        return found[1] if stretch.offset <= found[1] <= stretch.end else stretch.offset

    async def _redirected(self, sender: _Sender, target: str) -> bytes:
        stretch = sender.stretch
        try:
            await self._persist(
                lambda: self._client.send_to_target(
                    target, stretch.size_bytes, sender.content(stretch.offset, self._report)
                )
            )
        finally:
            self._free_streams.release()
        return sender.md5()

    async def _commit(self, etag: str) -> None:
        try:
            await self._client.commit_upload(self._url, self._digest, etag)
        except (ConnectionFailed, RegistryRefused):
            if not await self._client.has_blob(self._digest):  # else only the answer was lost
                raise

    def _report(self, n_sent: int) -> None:
        self.completed_bytes = min(max(self.completed_bytes, n_sent), self.total_bytes)

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat a step until it succeeds. Raises: RetriesExhausted, and what no repetition heals."""
        n_failures = 0
        while True:
            try:
                return await attempt()
            except Stalled as error:
                last: ConnectionFailed | RegistryRefused = error
            except (ConnectionFailed, RegistryRefused) as error:
                if isinstance(error, RegistryRefused) and error.status not in _REPEATABLE and not is_passing(error):
                    raise
                last = error
            n_failures += 1
            if n_failures >= self._pace.n_attempts:
                raise RetriesExhausted(last) from last
            log.info("%s: attempt %d to send failed: %s", self._digest, n_failures, last)
            if not (isinstance(last, RegistryRefused) and last.status == 401 and n_failures == 1):
                await self._pace.sleep(2.0 ** (n_failures - 1))


class _Sender:
    """Reads one part, as often as it has to be sent, and knows the MD5 of what was sent last."""

    def __init__(self, descriptor: int, stretch: Stretch, path: Path) -> None:
        self.stretch = stretch
        self.has_begun = False
        self._descriptor = descriptor
        self._path = path
        self._md5 = hashlib.md5(usedforsecurity=False)

    def md5(self) -> bytes:
        return self._md5.digest()

    async def content(self, start: int, report: Callable[[int], None]) -> AsyncIterator[bytes]:
        """The part from `start` on; `report` hears how far the blob was given to the network."""
        self.has_begun = True
        self._md5 = hashlib.md5(usedforsecurity=False)
        position = self.stretch.offset
        while position < self.stretch.end:
            stop = min(self.stretch.end, position + _READ_BYTES, start if position < start else self.stretch.end)
            chunk = await in_thread(self._read, position, stop)
            position = stop
            if position > start:
                yield chunk
                report(position)

    def _read(self, start: int, stop: int) -> bytes:
        with translated("read", self._path):
            chunk = os.pread(self._descriptor, stop - start, start)
            if len(chunk) != stop - start:
                raise OSError("the blob became shorter")
        self._md5.update(chunk)
        return chunk


async def _known(value: bytes) -> bytes:
    return value
