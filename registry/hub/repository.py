"""One repository, online or in the cache: what it has, and its files brought into the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import httpx

from registry.client import RegistryClient
from registry.digest import Digest
from registry.downloads import Downloads
from registry.errors import BadAnswer, DigestMismatch, HubRefusal
from registry.hub.cache import adopt_cached, adopt_file, list_snapshot, read_cached
from registry.hub.reference import Reference
from registry.hub.selection import HubFile
from registry.hub.source import Hub, git_blob_id
from registry.manifest import Layer, MediaType
from registry.store import Store
from registry.threads import in_thread

MAX_TEXT_BYTES = 1 << 20
MAX_SMALL_BYTES = 16 << 20
"""Larger files than this are kept apart from Git by the Hub, which then tells their digest."""


class Repository(Protocol):
    """Every method raises TransferError, and those that bring something StoreUnusable."""

    async def list_files(self) -> list[HubFile]: ...

    async def identified(self, file: HubFile) -> HubFile:
        """The file with its digest, for which it may have to be brought here first."""
        ...

    def bring(self, file: HubFile) -> AsyncGenerator[tuple[int, int], None]:
        """Get a file's content, which the store lacks, into it; yields total and completed bytes every so often."""
        ...

    async def read(self, file: HubFile) -> bytes:
        """A small text."""
        ...


class OnlineRepository:
    """Asks the Hub; takes files from the cache where they are there already."""

    def __init__(
        self, hub: Hub, reference: Reference, client: RegistryClient, downloads: Downloads, store: Store
    ) -> None:
        self._hub = hub
        self._reference = reference
        self._client = client
        self._downloads = downloads
        self._store = store

    async def list_files(self) -> list[HubFile]:
        return await in_thread(self._hub.list_files, self._reference)

    async def identified(self, file: HubFile) -> HubFile:
        if file.digest is not None:
            return file
        content = await self._get(file, MAX_SMALL_BYTES)
        digest, _ = await in_thread(self._store.blobs.put_bytes, content)
        return replace(file, digest=digest)

    async def bring(self, file: HubFile) -> AsyncGenerator[tuple[int, int], None]:
        assert file.digest is not None, "it was identified"
        cache = self._hub.settings.cache
        if cache is not None and await in_thread(adopt_cached, self._store, cache, self._reference.repository, file):
            yield file.size_bytes, file.size_bytes
            return
        source = _HubBlob(self._hub, self._reference, file, self._client)
        layer = Layer(MediaType.MODEL, file.digest, file.size_bytes)
        async with aclosing(self._downloads.fetch(layer, source)) as steps:
            async for step in steps:
                yield step

    async def read(self, file: HubFile) -> bytes:
        return await self._get(file, MAX_TEXT_BYTES)

    async def _get(self, file: HubFile, limit_bytes: int) -> bytes:
        """A small file, compared with the name that Git has for it. Raises: HubRefusal, BadAnswer."""
        title = f"{file.path} of {self._reference.repository}"
        if file.size_bytes > limit_bytes:
            raise HubRefusal(f"{title} has more than {limit_bytes} bytes")
        content = await self._client.read(self._hub.url(self._reference, file), limit_bytes)
        if not _is_as_listed(file, content):
            raise BadAnswer(f"{title} is not what the repository listed")
        return content


def _is_as_listed(file: HubFile, content: bytes) -> bool:
    if file.digest is not None:
        return Digest.of(content).hex == file.digest.hex.lower()
    return git_blob_id(content) == file.blob_id


class _HubBlob:
    """A large file as a download sees it. Who we are is told to the Hub, never to where it keeps its files."""

    def __init__(self, hub: Hub, reference: Reference, file: HubFile, client: RegistryClient) -> None:
        self._hub = hub
        self._reference = reference
        self._file = file
        self._client = client
        self._found: str | None = None

    async def measure_blob(self, digest: Digest) -> int | None:
        """The size as listed, once the Hub lets us have the file: before room is made for it."""
        self._found = await self._locate()
        return self._file.size_bytes

    async def locate_blob(self, digest: Digest, *, resumed: bool) -> str:
        """Each address serves for a while only, so it is given out once."""
        found, self._found = self._found, None
        return found or await self._locate()

    async def _locate(self) -> str:
        return await in_thread(self._hub.locate, self._reference, self._file)

    def open_range(
        self, url: str, first: int, last: int, total: int
    ) -> AbstractAsyncContextManager[httpx.Response | None]:
        return self._client.open_range(url, first, last, total)

    def open_whole(self, url: str) -> AbstractAsyncContextManager[httpx.Response]:
        return self._client.open_whole(url)


class CachedRepository:
    """What other programs have fetched, for a machine that must not ask the Hub."""

    def __init__(self, cache: Path, reference: Reference, store: Store) -> None:
        self._cache = cache
        self._reference = reference
        self._store = store
        self._paths: dict[str, Path] = {}

    async def list_files(self) -> list[HubFile]:
        found = await in_thread(list_snapshot, self._cache, self._reference)
        self._paths = {name: path for name, (_, path) in found.items()}
        return [file for file, _ in found.values()]

    async def identified(self, file: HubFile) -> HubFile:
        digest = file.digest or await in_thread(adopt_file, self._store, self._paths[file.path], None)
        return replace(file, digest=digest)

    async def bring(self, file: HubFile) -> AsyncGenerator[tuple[int, int], None]:
        try:
            await in_thread(adopt_file, self._store, self._paths[file.path], file.digest)
        except DigestMismatch as error:
            raise HubRefusal(f"{self._paths[file.path]} is damaged: {error}") from error
        yield file.size_bytes, file.size_bytes

    async def read(self, file: HubFile) -> bytes:
        return await in_thread(read_cached, self._paths[file.path], MAX_TEXT_BYTES)
