"""A registry's endpoints, one method each, for one repository. # Compat: registry-store-cli 3.2, 3.3, 4."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import quote

import httpx

from registry.credentials import DOCKER_HUB, DOCKER_HUB_NAMES
from registry.digest import Digest
from registry.errors import (
    AccessDenied,
    BadAnswer,
    ConnectionFailed,
    NotInRegistry,
    RegistryRefused,
)
from registry.manifest import MANIFEST_MEDIA_TYPE, MAX_MANIFEST_BYTES
from registry.names import ModelName
from registry.wire import Wire, host_name_of, read_error, read_limited, redirect_target, resolve_url

T = TypeVar("T")

MAX_REDIRECTS = 10
LOCATE_BUDGET_S = 30.0
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the blobs and manifests of one model are: `path` is `namespace/model`."""

    scheme: str
    host: str
    path: str

    @classmethod
    def of(cls, name: ModelName, *, insecure: bool) -> Repository:
        """Docker Hub's registry has another host than its names.

        # Compat: registry-store-cli 1.2: insecure means plain HTTP.
        """
        host = DOCKER_HUB if name.host.lower() in DOCKER_HUB_NAMES else name.host
        return cls("http" if insecure else "https", host, f"{name.namespace}/{name.model}")

    def url(self, rest: str) -> str:
        return f"{self.scheme}://{self.host}/v2/{self.path}/{rest}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A session of an upload: `url` takes the next request, `target`, if there is one, the part's bytes."""

    url: str
    target: str | None = None


class Identity(Protocol):
    """Who we are to one host: the `Authorization` to send, if any, and how to get one when it is asked for."""

    @property
    def header(self) -> str | None: ...

    async def answer(self, challenge: str, refused_url: str) -> None:
        """Have another header after this. Raises: TransferError where there is none to have."""
        ...


class RegistryClient:
    """What can be asked of one repository. Every method raises TransferError."""

    def __init__(
        self,
        wire: Wire,
        repository: Repository,
        identity: Identity,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.repository = repository
        self._wire = wire
        self._identity = identity
        self._sleep = sleep
        self._clock = clock

    async def get_manifest(self, tag: str) -> bytes:
        """The manifest byte for byte. Raises: NotInRegistry."""
        headers = {"Accept": MANIFEST_MEDIA_TYPE}
        async with self._open("GET", self.repository.url(f"manifests/{tag}"), headers) as response:
            await _check(response)
            return await read_limited(response, MAX_MANIFEST_BYTES)

    async def put_manifest(self, tag: str, raw: bytes) -> None:
        headers = {"Content-Type": MANIFEST_MEDIA_TYPE}
        async with self._open("PUT", self.repository.url(f"manifests/{tag}"), headers, raw) as response:
            await _check(response)

    async def measure_blob(self, digest: Digest) -> int | None:
        """The size in bytes; None where the registry does not say. Raises: NotInRegistry."""
        return await self._persist(lambda: self._measure(digest))

    async def has_blob(self, digest: Digest) -> bool:
        try:
            await self.measure_blob(digest)
        except NotInRegistry:
            return False
        return True

    async def locate_blob(self, digest: Digest, *, resumed: bool) -> str:
        """The address to fetch the blob's parts from; blobs usually lie on another host than manifests.

        A download that is `resumed` asks for one byte only: a registry that has the blob itself would send all of it.
        """
        headers = {"Range": "bytes=0-0"} if resumed else {}
        return await self._persist(lambda: self._locate(self._blob_url(digest), headers))

    @asynccontextmanager
    async def open_range(self, url: str, first: int, last: int, total: int) -> AsyncIterator[httpx.Response | None]:
        """The answer that has the bytes from `first` to `last`, both included; it may end earlier.

        None for a server that does not serve ranges, and would send everything.
        Raises: BadAnswer for other bytes than these.
        """
        async with self._open("GET", url, {"Range": f"bytes={first}-{last}"}) as response:
            await _check(response)
            if response.status_code == 200:
                yield None
                return
            _check_range(response, first, last, total)
            yield response

    def open_whole(self, url: str) -> AbstractAsyncContextManager[httpx.Response]:
        """The answer that has the blob from its first byte on, where the status says so."""
        return self._open("GET", url, {})

    async def read(self, url: str, limit_bytes: int) -> bytes:
        """The small file at an address. Raises: BadAnswer beyond the limit."""
        async with self._open("GET", url, {}) as response:
            await _check(response)
            return await read_limited(response, limit_bytes)

    async def begin_upload(self, digest: Digest, mount_from: str) -> Upload | None:
        """Open a session; None if the blob was mounted from the repository `mount_from` and needs none."""
        query = f"?from={quote(mount_from, safe='')}&mount={quote(str(digest), safe='')}" if mount_from else ""
        async with self._open("POST", self.repository.url(f"blobs/uploads/{query}"), {}, b"") as response:
            await _check(response)
            return None if response.status_code == 201 else _session(response)

    async def send_part(self, url: str, first: int, size_bytes: int, content: AsyncIterator[bytes]) -> Upload:
        """Give the session a part of the blob. A target in the answer wants it instead, see `send_to_target`."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size_bytes),
            "X-Redirect-Uploads": "1",
            "Content-Range": f"{first}-{first + size_bytes - 1}",
        }
        async with self._wire.open("PATCH", url, headers=self._identified(url, headers), content=content) as response:
            await self._refuse_unidentified(response, url)
            if response.status_code == 307:
                return Upload(_session(response, "Docker-Upload-Location").url, redirect_target(response))
            await _check_upload(response)
            return _session(response)

    async def send_to_target(self, url: str, size_bytes: int, content: AsyncIterator[bytes]) -> None:
        """Give a part to where the registry sent it: another host, which is told nothing about who we are."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        async with self._wire.open("PUT", url, headers=headers, content=content) as response:
            await _check_upload(response)

    async def find_uploaded(self, url: str) -> tuple[Upload, int] | None:
        """The session and how many bytes it has; None where the registry does not say."""
        async with self._open("GET", url, {}) as response:
            match = re.fullmatch(r"(?:bytes=)?0-(\d{1,19})", response.headers.get("Range", ""))
            if response.status_code not in (202, 204) or match is None:
                return None
            return _session(response, default=url), int(match[1]) + 1

    async def commit_upload(self, url: str, digest: Digest, etag: str) -> None:
        """End the session: what it has gets the digest as its name."""
        separator = "&" if "?" in url else "?"
        full = f"{url}{separator}digest={quote(str(digest), safe='')}&etag={etag}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": "0"}
        async with self._open("PUT", full, headers, b"") as response:
            await _check_upload(response)

    # ----------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """One request, identified if the registry wants that, its redirects followed; statuses are the caller's."""
        is_refused = False
        n_redirects = 0
        while True:
            identified = self._identified(url, headers)
            async with self._wire.open(method, url, headers=identified, content=content) as response:
                if response.status_code == 401 and self._is_own(url):
                    if is_refused:
                        raise AccessDenied
                    is_refused = True
                    target: str | None = url
                    await self._identity.answer(response.headers.get("WWW-Authenticate", ""), url)
                else:
                    target = redirect_target(response) if method in ("GET", "HEAD") else None
                    n_redirects += 1
                if target is None:
                    yield response
                    return
            if n_redirects > MAX_REDIRECTS:
                raise BadAnswer(f'{method.capitalize()} "{url}": stopped after {MAX_REDIRECTS} redirects')
            url = target

    def _identified(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Only the registry itself hears who we are."""
        identity = self._identity.header
        return {**headers, "Authorization": identity} if identity and self._is_own(url) else dict(headers)

    def _is_own(self, url: str) -> bool:
        own, other = httpx.URL(self.repository.url("")), httpx.URL(url)
        return (own.scheme, own.netloc) == (other.scheme, other.netloc)

    async def _refuse_unidentified(self, response: httpx.Response, url: str) -> None:
        """A part's bytes are spent by now: get a token, and let the caller begin again."""
        if response.status_code == 401 and self._is_own(url):
            await self._identity.answer(response.headers.get("WWW-Authenticate", ""), url)
            raise RegistryRefused(401, "unauthorized")

    def _blob_url(self, digest: Digest) -> str:
        return self.repository.url(f"blobs/{digest}")

    async def _measure(self, digest: Digest) -> int | None:
        async with self._open("HEAD", self._blob_url(digest), {}) as response:
            await _check(response)
            length = response.headers.get("Content-Length", "")
            return int(length) if re.fullmatch(r"\d{1,18}", length) else None

    async def _locate(self, url: str, headers: Mapping[str, str]) -> str:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._open_once(url, headers) as response:
                target = redirect_target(response)
                if target is None:
                    await _check(response)
                    return url
            if host_name_of(target) != host_name_of(url):
                return target
            url = target
        raise BadAnswer(f"maximum redirects exceeded ({MAX_REDIRECTS}) for directURL")

    @asynccontextmanager
    async def _open_once(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """As `_open`, but a redirect is an answer."""
        is_refused = False
        while True:
            async with self._wire.open("GET", url, headers=self._identified(url, headers)) as response:
                if response.status_code != 401 or not self._is_own(url):
                    yield response
                    return
                if is_refused:
                    raise AccessDenied
                is_refused = True
                await self._identity.answer(response.headers.get("WWW-Authenticate", ""), url)

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again while the failure may pass, for as long as the original does."""
        deadline = self._clock() + LOCATE_BUDGET_S
        n_failures = 0
        while True:
            try:
                return await attempt()
            except (ConnectionFailed, RegistryRefused) as error:
                n_failures += 1
                pause_s = min(n_failures**2 * 0.01, 10.0) * random.uniform(0.5, 1.5)
                if not is_passing(error) or self._clock() + pause_s > deadline:
                    raise
            await self._sleep(pause_s)


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, RegistryRefused):
        return error.status in (408, 425, 429) or error.status >= 500
    return isinstance(error, ConnectionFailed)


async def _check(response: httpx.Response) -> None:
    if response.status_code == 404:
        raise NotInRegistry
    if response.status_code >= 300:
        raise RegistryRefused(response.status_code, await read_error(response))


async def _check_upload(response: httpx.Response) -> None:
    """# Compat: registry-store-cli 4: an upload's refusal has the status line."""
    if response.status_code >= 300:
        line = f"{response.status_code} {response.reason_phrase}".rstrip()
        error = RegistryRefused(response.status_code, await read_error(response))
        error.args = (f"http status {line}: {error.body}",)
        raise error


def _check_range(response: httpx.Response, first: int, last: int, total: int) -> None:
    text = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(text)
    is_right = (
        match is not None
        and response.status_code == 206
        and int(match[1]) == first
        and first <= int(match[2]) <= last
        and match[3] in ("*", str(total))
    )
    if not is_right:
        raise BadAnswer(f'asked for bytes {first}-{last}/{total}, got status {response.status_code} with "{text}"')


def _session(response: httpx.Response, *names: str, default: str | None = None) -> Upload:
    """# Compat: registry-store-cli 4; the address may be relative, as plain registries send it."""
    for name in names or ("Docker-Upload-Location", "Location"):
        if name in response.headers:
            return Upload(resolve_url(response, response.headers[name]))
    if default is None:
        raise BadAnswer("the registry opened an upload without an address")
    return Upload(default)
