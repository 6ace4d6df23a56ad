"""Pulls that want the same blob share one download of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from registry.attempt import BlobSource
from registry.digest import Digest
from registry.manifest import Layer
from registry.pace import Pace
from registry.store import Store
from registry.transfer import Download

TICK_S = 0.06
"""How often somebody who waits hears something. # Compat: registry-store-cli 3.3, progress."""


@dataclass(slots=True)
class _Running:
    download: Download
    task: asyncio.Task[None]
    n_waiting: int = 0


class Downloads:
    """What is being downloaded into one store, by digest. Belongs to one event loop."""

    def __init__(self, store: Store, pace: Pace | None = None) -> None:
        self._store = store
        self._pace = pace or Pace()
        self._running: dict[Digest, _Running] = {}

    async def fetch(self, layer: Layer, source: BlobSource) -> AsyncGenerator[tuple[int, int], None]:
        """Bring a layer's blob into the store; yields total and completed bytes every so often, and when it is done.

        The download ends with the last of those who wait for it; what came so far stays on disk.
        Raises: TransferError, StoreUnusable.
        """
        while True:
            joined = self._running.get(layer.digest)
            running = joined or self._start(layer, source)
            try:
                async with aclosing(self._wait(layer.digest, running)) as steps:
                    async for step in steps:
                        yield step
                return
            except Exception:
                # Somebody else's registry or token may be why: then try with our own.
                if joined is None:
                    raise

    async def _wait(self, digest: Digest, running: _Running) -> AsyncGenerator[tuple[int, int], None]:
        download = running.download
        running.n_waiting += 1
        try:
            while not running.task.done():
                await asyncio.wait([running.task], timeout=TICK_S)
                if not running.task.done():
                    yield download.total_bytes, download.completed_bytes
            running.task.result()
            yield download.total_bytes, download.total_bytes
        finally:
            running.n_waiting -= 1
            if not running.n_waiting:
                await self._end(digest, running)

    def _start(self, layer: Layer, source: BlobSource) -> _Running:
        download = Download(self._store, source, layer.digest, layer.size_bytes, self._pace)
        running = _Running(download, asyncio.create_task(download.run()))
        self._running[layer.digest] = running
        running.task.add_done_callback(lambda _: self._forget(layer.digest, running))
        return running

    async def _end(self, digest: Digest, running: _Running) -> None:
        self._forget(digest, running)
        running.task.cancel()
        await asyncio.wait([running.task])

    def _forget(self, digest: Digest, running: _Running) -> None:
        if self._running.get(digest) is running:
            del self._running[digest]
