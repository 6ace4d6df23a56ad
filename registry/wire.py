"""HTTP as transfers use it: bounded, without cookies or hidden redirects, its failures worded as Go words them."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import httpx

from registry.errors import BadAnswer, ConnectionFailed, Stalled
from registry.threads import in_thread

MAX_ERROR_BYTES = 64 << 10
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_REDIRECTS = frozenset((301, 302, 303, 307, 308))

Body = bytes | AsyncIterator[bytes] | None


class Wire:
    """Connections to registries, shared by all transfers of one event loop."""

    def __init__(self, *, user_agent: str, stall_s: float = 30.0, connect_s: float = 30.0) -> None:
        self._user_agent = user_agent
        self._timeout = httpx.Timeout(stall_s, connect=connect_s, pool=None)
        self._http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def open(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: Body = None
    ) -> AsyncIterator[httpx.Response]:
        """Send one request; its answer's body is read in the `async with` block.

        Raises: ConnectionFailed, also for what happens in the block; BadAnswer for an encoded body.
        """
        with translated_failures(method, url):
            http = await self._opened()
            _check_port(url)
            own = {"User-Agent": self._user_agent, "Accept-Encoding": "identity"}
            request = http.build_request(method, url, headers={**own, **(headers or {})}, content=content)
            response = await http.send(request, stream=True)
            try:
                if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
                    # What was not asked for is not unpacked: a few bytes can become any number.
                    raise BadAnswer(f"unexpected content encoding {response.headers['Content-Encoding']}")
                yield response
            finally:
                await response.aclose()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _opened(self) -> httpx.AsyncClient:
        if self._http is None:
            http = await in_thread(self._make_client)  # which imports a lot, the first time
            self._http = self._http or http
        return self._http

    def _make_client(self) -> httpx.AsyncClient:
        http = httpx.AsyncClient(
            timeout=self._timeout,
            verify=_tls(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
            follow_redirects=False,
            # Compat: registry-store-cli 8: the proxies of the environment, though never for this machine.
            trust_env=True,
            mounts={f"all://{host}": None for host in _LOOPBACK},
        )
        del http.headers["Accept"]
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return http


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes a while."""
    return httpx.create_ssl_context()


async def read_limited(response: httpx.Response, limit_bytes: int) -> bytes:
    """The whole body, byte for byte. Raises: BadAnswer beyond the limit."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > limit_bytes:
            raise BadAnswer(f"the answer has more than {limit_bytes} bytes")
    return bytes(content)


async def read_error(response: httpx.Response) -> str:
    """The beginning of what a refusal says."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= MAX_ERROR_BYTES:
            break
    return bytes(content[:MAX_ERROR_BYTES]).decode("utf-8", "replace")


def redirect_target(response: httpx.Response) -> str | None:
    """Where the answer points, as an absolute URL; None if it is no redirect.

    Raises: BadAnswer for a redirect to nowhere, out of TLS, or to something that is not HTTP.
    """
    if response.status_code not in _REDIRECTS:
        return None
    location = response.headers.get("Location")
    if location is None:
        raise BadAnswer(f"{response.status_code} response missing Location header")
    target = resolve_url(response, location)
    if response.url.scheme == "https" and target.startswith("http:"):
        raise BadAnswer(f"redirect from https to {target.partition('?')[0]}")
    return target


def resolve_url(response: httpx.Response, location: str) -> str:
    """`location`, which may be relative to the answer's own URL. Raises: BadAnswer."""
    try:
        url = response.url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadAnswer(f"the answer points to an invalid address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadAnswer(f'unsupported protocol scheme "{url.scheme}"')
    return str(url)


def host_of(url: str) -> str:
    """Host and port as written; the port of the scheme may be left out."""
    return httpx.URL(url).netloc.decode("ascii")


def host_name_of(url: str) -> str:
    """The host without its port."""
    return httpx.URL(url).host


@contextlib.contextmanager
def translated_failures(method: str, url: str) -> Iterator[None]:
    """Turn failures of the HTTP client into ours, worded as Go's client words them."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        dialled = _Dialled.for_url(url)
        raise ConnectionFailed(f'{_go_method(method)} "{url}": {dialled} {dialled.address}: i/o timeout') from error
    except httpx.TimeoutException as error:
        raise Stalled(f'{_go_method(method)} "{url}": i/o timeout') from error
    except httpx.RemoteProtocolError as error:
        if "closed connection" in str(error) or "disconnected" in str(error):
            raise ConnectionFailed("unexpected EOF") from error
        raise BadAnswer(f'{_go_method(method)} "{url}": malformed HTTP response: {error}') from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise BadAnswer(f'{_go_method(method)} "{url}": {error}') from error
    except (httpx.HTTPError, httpx.StreamError, ssl.SSLError) as error:
        raise ConnectionFailed(f'{_go_method(method)} "{url}": {_reason(error, url)}') from error


def _check_port(url: str) -> None:
    port = httpx.URL(url).port
    if port is not None and port > 65535:
        raise httpx.InvalidURL(f"dial tcp: address {port}: invalid port")


def _go_method(method: str) -> str:
    return method.capitalize()


def _reason(error: BaseException, url: str) -> str:
    cause = _innermost(error)
    match cause:
        case ssl.SSLCertVerificationError():
            return f"tls: failed to verify certificate: {cause.verify_message}"
        case ssl.SSLError() if "WRONG_VERSION_NUMBER" in str(cause) or "RECORD_LAYER" in str(cause):
            return "tls: first record does not look like a TLS handshake"
        case ssl.SSLError():
            return f"tls: {cause.reason or cause}"
        case socket.gaierror():
            dialled = _Dialled.for_url(url)
            return f"{dialled}: lookup {dialled.host}: no such host"
        case OSError(errno=number) if number is not None and isinstance(error, httpx.ConnectError):
            dialled = _Dialled.for_url(url)
            return f"{dialled} {dialled.address}: connect: {os.strerror(number).lower()}"
        case OSError(errno=errno.ECONNRESET):
            return f"read tcp {_address(url)}: read: connection reset by peer"
    return str(cause) or type(cause).__name__


@dataclass(frozen=True, slots=True)
class _Dialled:
    """Whom a request for a URL connects to: its host, or the proxy that the environment names for it."""

    url: httpx.URL
    is_proxy: bool

    @classmethod
    def for_url(cls, text: str) -> _Dialled:
        url = httpx.URL(text)
        proxies = urllib.request.getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
        if not proxy or urllib.request.proxy_bypass(url.netloc.decode("ascii")):
            return cls(url, is_proxy=False)
        return cls(httpx.URL(proxy if "://" in proxy else f"http://{proxy}"), is_proxy=True)

    def __str__(self) -> str:
        """What Go says it was doing."""
        return "proxyconnect tcp: dial tcp" if self.is_proxy else "dial tcp"

    @property
    def host(self) -> str:
        return self.url.host

    @property
    def address(self) -> str:
        return _address(str(self.url))


def _innermost(error: BaseException) -> BaseException:
    """The failure that began it; of a connection to several addresses, the first one's."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            continue
        below = error.__cause__ or error.__context__
        if below is None:
            return error
        error = below


def _address(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.host}:{parsed.port or (443 if parsed.scheme == 'https' else 80)}"
