"""Filling the data file of one download: several streams at once, and one that hashes behind them.

The parts in flight lie close together, so the hash, which has to go from the first byte to the last, follows them
through data that is still in memory.
# Compat: registry-store-cli 3.3; Ollama server/download.go 0.33.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import httpx

from registry.client import is_passing
from registry.digest import Digest
from registry.errors import (
    BadAnswer,
    ConnectionFailed,
    RegistryRefused,
    RetriesExhausted,
    Stalled,
    TransferError,
)
from registry.pace import Pace
from registry.partial import Part, PartialBlob
from registry.threads import in_thread

log = logging.getLogger(__name__)


class BlobSource(Protocol):
    """Where one blob comes from; `registry.client.RegistryClient` says what each method does."""

    async def measure_blob(self, digest: Digest) -> int | None: ...

    async def locate_blob(self, digest: Digest, *, resumed: bool) -> str: ...

    def open_range(
        self, url: str, first: int, last: int, total: int
    ) -> AbstractAsyncContextManager[httpx.Response | None]: ...

    def open_whole(self, url: str) -> AbstractAsyncContextManager[httpx.Response]: ...


class _RangesIgnored(TransferError):
    """The server sends everything or nothing."""


class Attempt:
    """Filling one data file."""

    def __init__(
        self,
        source: BlobSource,
        digest: Digest,
        partial: PartialBlob,
        parts: list[Part],
        pace: Pace,
        report: Callable[[int], None],
        is_resumed: bool,
    ) -> None:
        self._source = source
        self._digest = digest
        self._partial = partial
        self._parts = parts
        self._pace = pace
        self._report = report
        self._total_bytes = sum(part.size_bytes for part in parts)
        self._received_bytes = sum(part.completed_bytes for part in parts)
        self._synced_bytes = self._received_bytes
        self._url: asyncio.Task[str] | None = None
        self._has_url_failed = False
        self._is_resumed = is_resumed
        self._grown = asyncio.Event()

    async def run(self) -> Digest:
        """Fetch what is missing; the digest of the whole. Raises: TransferError, StoreUnusable."""
        self._report(self._received_bytes)
        hash_ = hashlib.sha256()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(hash_))
                group.create_task(self._fill())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await self._forget_url()
        return Digest(hash_.hexdigest())

    # -- filling -----------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        waiting = iter([part for part in self._parts if part.missing_bytes])
        n_streams = min(self._pace.n_streams, len(self._parts))
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(n_streams):
                    group.create_task(self._fill_parts(waiting, max(0, index + 1 - self._pace.n_streams_at_once)))
        except ExceptionGroup as failures:
            if not isinstance(failures.exceptions[0], _RangesIgnored):
                raise failures.exceptions[0] from None
            await self._persist(self._fetch_whole)

    async def _fill_parts(self, waiting: Iterator[Part], n_delays: int) -> None:
        if n_delays:
            await self._pace.sleep(n_delays * self._pace.stream_delay_s)
        for part in waiting:
            while part.missing_bytes:
                await self._persist(lambda part=part: self._fetch_part(part))  # type: ignore[misc]  # bound now

    async def _persist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Repeat an attempt until it succeeds. Raises: RetriesExhausted, and what no repetition heals.

        # Compat: registry-store-cli 3.3, retry and stall; there an attempt that brought much counts as well.
        """
        n_failures = 0
        while True:
            before = self._received_bytes
            try:
                return await attempt()
            except Stalled as error:
                log.info("%s: stalled, trying again: %s", self._digest, error)
                self._has_url_failed = True
                continue
            except (ConnectionFailed, RegistryRefused, BadAnswer) as error:
                if self._is_final(error):
                    raise
                self._has_url_failed = True
                n_failures = 1 if self._received_bytes - before >= self._pace.worthwhile_bytes else n_failures + 1
                if n_failures >= self._pace.n_attempts:
                    raise RetriesExhausted(error) from error
                log.info("%s: attempt %d failed: %s", self._digest, n_failures, error)
            await self._pace.sleep(2.0 ** (n_failures - 1))

    async def _fetch_part(self, part: Part) -> None:
        url = await self._located()
        last = part.offset + part.size_bytes - 1
        async with self._source.open_range(url, part.position, last, self._total_bytes) as response:
            if response is None:
                raise _RangesIgnored
            await self._receive(part, _Body(response))

    async def _fetch_whole(self) -> None:
        """From a server without ranges: everything, of which what is here already is passed over."""
        async with self._source.open_whole(await self._located()) as response:
            if response.status_code != 200:
                raise BadAnswer(f"unexpected status code {response.status_code}")
            body = _Body(response)
            for part in self._parts:
                await body.skip(part.completed_bytes)
                await self._receive(part, body)

    async def _receive(self, part: Part, body: _Body) -> None:
        """Read what the part misses; what came before a failure is kept. Raises: ConnectionFailed if it ends early."""
        chunks: list[bytes] = []
        n_buffered = 0
        flushed_at = self._pace.clock()
        try:
            async for chunk in body.take(part.missing_bytes):
                chunks.append(chunk)
                n_buffered += len(chunk)
                self._received_bytes += len(chunk)
                self._report(self._received_bytes)
                if n_buffered >= self._pace.flush_bytes or self._pace.clock() - flushed_at >= self._pace.flush_s:
                    full, chunks, n_buffered = chunks, [], 0
                    await self._flush(part, full)
                    await self._pace.hold_back()
                    flushed_at = self._pace.clock()
        finally:
            if chunks:
                await self._flush(part, chunks)
        if part.missing_bytes:
            raise ConnectionFailed("unexpected EOF")

    async def _flush(self, part: Part, chunks: list[bytes]) -> None:
        await in_thread(self._partial.write, part, chunks)
        self._grown.set()
        if self._received_bytes - self._synced_bytes >= self._pace.sync_bytes:
            self._synced_bytes = self._received_bytes
            await in_thread(self._partial.sync)

    # -- where the data are ------------------------------------------------------------------------------------------

    async def _located(self) -> str:
        """The address of the data, found once for all parts, and anew after a failure: it may have expired."""
        if self._url is None or (self._has_url_failed and self._url.done()):
            is_resumed = self._is_resumed or self._url is not None
            self._has_url_failed = False
            self._url = asyncio.create_task(self._source.locate_blob(self._digest, resumed=is_resumed))
        return await asyncio.shield(self._url)

    def _is_final(self, error: Exception) -> bool:
        """Whether the registry itself said no, not the host that it sent us to, which says so when a link expires."""
        is_of_registry = self._url is not None and self._url.done() and self._url.exception() is error
        return is_of_registry and not is_passing(error)

    async def _forget_url(self) -> None:
        if self._url is not None and not self._url.done():
            self._url.cancel()
            await asyncio.wait([self._url])
        if self._url is not None and not self._url.cancelled():
            self._url.exception()  # whoever waited for it has it

    # -- hashing -----------------------------------------------------------------------------------------------------

    async def _follow(self, hash_: hashlib._Hash) -> None:
        """Hash the data in order, as far as they are complete, until all are."""
        position = 0
        while position < self._total_bytes:
            complete = self._complete_bytes()
            if complete == self._total_bytes or complete - position >= self._pace.flush_bytes:
                stop = min(complete, position + self._pace.hash_bytes)
                await in_thread(self._partial.hash_range, hash_, position, stop)
                position = stop
            else:
                self._grown.clear()
                if self._complete_bytes() == complete:
                    await self._grown.wait()

    def _complete_bytes(self) -> int:
        """How far the blob is here without a gap."""
        for part in self._parts:
            if part.missing_bytes:
                return part.position
        return self._total_bytes


class _Body:
    """An answer's body, taken in stretches."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.aiter_raw()
        self._rest = b""

    async def take(self, n_bytes: int) -> AsyncIterator[bytes]:
        """The next `n_bytes`, or fewer where the body ends."""
        while n_bytes:
            chunk = self._rest or await anext(self._chunks, b"")
            if not chunk:
                return
            taken, self._rest = chunk[:n_bytes], chunk[n_bytes:]
            n_bytes -= len(taken)
            yield taken

    async def skip(self, n_bytes: int) -> None:
        async for _ in self.take(n_bytes):
            pass
