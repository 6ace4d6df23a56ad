"""One blob from a registry into the store, resumed where an earlier download was left, verified before it has its name.

# Compat: registry-store-cli 3.3; Ollama server/download.go 0.33.
"""

from __future__ import annotations

import logging

from registry.attempt import Attempt, BlobSource
from registry.digest import Digest
from registry.errors import BadAnswer, BlobNotFound, ConnectionFailed, DownloadCorrupt, SizeMismatch
from registry.pace import Pace
from registry.partial import Part, PartialBlob, plan_parts
from registry.store import Store
from registry.threads import in_thread

log = logging.getLogger(__name__)


class Download:
    """One blob on its way. `completed_bytes` of `total_bytes` are here; neither ever goes back."""

    def __init__(self, store: Store, source: BlobSource, digest: Digest, size_bytes: int, pace: Pace) -> None:
        self.total_bytes = size_bytes
        self.completed_bytes = 0
        self._store = store
        self._source = source
        self._digest = digest
        self._size_bytes = size_bytes
        self._pace = pace
        self._partial = PartialBlob(store.blobs.directory, digest)

    async def run(self) -> None:
        """Bring the blob into the store, whole and verified.

        When cancelled, or when it fails, what came so far stays for the next attempt.
        Raises: TransferError, StoreUnusable.
        """
        try:
            while not await in_thread(self._partial.acquire):
                if await in_thread(self._is_finished):
                    return
                await self._pace.sleep(self._pace.lock_poll_s)  # another process is at it
            if await in_thread(self._is_finished):
                await in_thread(self._partial.discard)
            else:
                await self._fetch_verified()
        finally:
            self._partial.release()

    def _is_finished(self) -> bool:
        """Whether another process brought the blob meanwhile."""
        try:
            size_bytes = self._store.blobs.size(self._digest)
        except BlobNotFound:
            return False
        return size_bytes == self._size_bytes or not self._size_bytes  # else a crash has cut it short

    async def _fetch_verified(self) -> None:
        parts = await in_thread(self._partial.load, self._size_bytes or None)
        is_resumed = any(part.completed_bytes for part in parts)
        actual = await self._fetch(parts, is_resumed=is_resumed)
        if actual.hex != self._digest.hex.lower() and is_resumed:
            log.warning("what an earlier download left of %s is wrong: starting over", self._digest)
            await self._discard()
            actual = await self._fetch([], is_resumed=False)
        if actual.hex != self._digest.hex.lower():
            await self._discard()
            raise DownloadCorrupt(self._digest, actual)
        await in_thread(self._store.blobs.adopt_verified, self._partial.path, self._digest, self.total_bytes)
        await in_thread(self._partial.discard_records)

    async def _discard(self) -> None:
        """Leave nothing, and hold what comes next."""
        await in_thread(self._partial.discard)
        self._partial.release()
        if not await in_thread(self._partial.acquire):
            raise ConnectionFailed(f"{self._digest} is being downloaded by another process")

    async def _fetch(self, parts: list[Part], *, is_resumed: bool) -> Digest:
        """The digest of what is in the data file when every part is complete."""
        planned_now = not parts
        if planned_now:
            parts = plan_parts(await self._measure(), self._pace.part_bytes)
        self.total_bytes = sum(part.size_bytes for part in parts)
        await in_thread(self._partial.begin, parts, planned_now=planned_now)
        attempt = Attempt(self._source, self._digest, self._partial, parts, self._pace, self._report, is_resumed)
        return await attempt.run()

    async def _measure(self) -> int:
        """The blob's size, on which manifest and registry must agree."""
        measured = await self._source.measure_blob(self._digest)
        if measured is not None and self._size_bytes and measured != self._size_bytes:
            raise BadAnswer(f"{self._digest}: {SizeMismatch(self._size_bytes, measured)}")
        return self._size_bytes if measured is None else measured

    def _report(self, completed_bytes: int) -> None:
        self.completed_bytes = max(self.completed_bytes, completed_bytes)
