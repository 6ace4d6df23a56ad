"""HTTP to the server: one connection for each request, JSON in, JSON or a stream of JSON lines out.

Built on http.client, because a command that only lists models should not spend its time on imports. What fails is
reported in the words of Go's client, which people and scripts know.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson

from registry.gojson import encode, quote
from server.cli.errors import CliError, ConnectionFailed, NotRunning, StatusError, Unauthorized
from server.cli.proxy import choose_proxy
from server.settings import Host

Json = dict[str, Any]

CONNECT_TIMEOUT_S = 30.0
MAX_LINE_BYTES = 8_000_000
LOOPBACK = "127.0.0.1"
"""Where a server is that listens on all interfaces, when its address names none."""
NOT_RUNNING = "could not connect to puna server, run 'puna serve' to start it"


class Transport:
    """Requests to one server. Every method raises ConnectionFailed or StatusError."""

    def __init__(self, server: Host, *, user_agent: str, proxies: Mapping[str, str] | None = None) -> None:
        self._server = server
        self._proxy = choose_proxy(server.scheme, server.host, server.port, proxies or {})
        self._user_agent = user_agent

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON; None when the answer is empty."""
        with self._exchange(method, path, body, accept="application/json") as response:
            raw = response.read()
            if response.status >= 400:
                raise _plain_error(response.status, raw)
            return _decode(raw) if raw.strip() else None

    def stream(self, method: str, path: str, body: object = None) -> Iterator[Json]:
        """The objects of the answer, each as soon as its line is complete.

        Closing the iterator closes the connection, which tells the server to stop. Raises also CliError for a line
        that reports an error.
        # Compat: registry-store-cli 7.2 (api/client.go stream).
        """
        with self._exchange(method, path, body, accept="application/x-ndjson") as response:
            failed = response.status >= 400
            while line := response.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    raise CliError("bufio.Scanner: token too long")
                if not line.strip():
                    continue
                if failed:
                    raise _stream_error(response, line)
                yield _checked_line(line)
            if failed:
                raise _stream_error(response, b"")

    def upload(self, path: str, chunks: Iterable[bytes]) -> None:
        """POST bytes of unknown length. Sending ends early when the server has already answered."""
        with self._exchange("POST", path, chunks, accept="application/json") as response:
            raw = response.read()
            if response.status >= 400:
                raise _plain_error(response.status, raw)

    @contextmanager
    def _exchange(self, method: str, path: str, body: object, *, accept: str) -> Iterator[http.client.HTTPResponse]:
        url = self._server.url + path
        connection = self._connect(method, url)
        try:
            with _translated(method, url):
                self._send(connection, method, path, body, accept)
                response = connection.getresponse()
            _refuse_redirect(response)
            with _translated(method, url):
                yield response
        finally:
            connection.close()

    def _connect(self, method: str, url: str) -> http.client.HTTPConnection:
        host, port = self._proxy or (self._server.host or LOOPBACK, self._server.port)
        kind = http.client.HTTPSConnection if self._server.scheme == "https" else http.client.HTTPConnection
        connection = kind(host, port, timeout=CONNECT_TIMEOUT_S)
        if self._proxy and self._server.scheme == "https":
            connection.set_tunnel(self._server.host, self._server.port)
        try:
            connection.connect()
        except OSError as error:
            raise _connect_error(error, method, url, host, port) from error
        # From here on the server may take its time: loading a model is part of an answer.
        connection.sock.settimeout(None)
        return connection

    def _send(self, connection: http.client.HTTPConnection, method: str, path: str, body: object, accept: str) -> None:
        is_proxied_http = self._proxy is not None and self._server.scheme == "http"
        target = self._server.url + path if is_proxied_http else urlsplit(self._server.url).path + path
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self._server.address)
        connection.putheader("User-Agent", self._user_agent)
        connection.putheader("Accept", accept)
        connection.putheader("Content-Type", "application/json")
        if body is None:
            if method == "POST":
                connection.putheader("Content-Length", "0")
            connection.endheaders()
        elif isinstance(body, dict):
            raw = encode(body)
            connection.putheader("Content-Length", str(len(raw)))
            connection.endheaders(raw)
        else:
            assert isinstance(body, Iterable)
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            _send_chunks(connection, body)


def _send_chunks(connection: http.client.HTTPConnection, chunks: Iterable[bytes]) -> None:
    """Send in HTTP's chunked coding until done, or until the server answers or closes its side."""
    poller = select.poll()
    if not isinstance(connection, http.client.HTTPSConnection):  # where readable need not mean an answer
        poller.register(connection.sock, select.POLLIN)
    try:
        for chunk in chunks:
            if poller.poll(0):
                return
            if chunk:
                connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        return  # the answer, if there is one, says why


def _decode(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise CliError(f"unexpected answer from the server: {error}") from error


def _checked_line(line: bytes) -> Json:
    """The object in a line of a stream. Raises: CliError with the line's error, or the line itself if it is no JSON."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise CliError(line.decode("utf-8", "replace").strip()) from error
    if not isinstance(value, dict):
        raise CliError(line.decode("utf-8", "replace").strip())
    if value.get("error"):
        raise CliError(str(value["error"]))
    return value


def _error_body(raw: bytes) -> Json:
    """The error object of an answer; a body that is none counts as the text of the error."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {"error": raw.decode("utf-8", "replace").strip()}
    return value if isinstance(value, dict) else {}


def _plain_error(status: int, raw: bytes) -> StatusError:
    body = _error_body(raw)
    if status == 401:
        return Unauthorized(signin_url=str(body.get("signin_url") or ""))
    return StatusError(status, str(body.get("error") or ""))


def _stream_error(response: http.client.HTTPResponse, line: bytes) -> StatusError:
    body = _error_body(line)
    status_line = f"{response.status} {response.reason}".strip()
    if response.status == 401:
        return Unauthorized(signin_url=str(body.get("signin_url") or ""), line=status_line)
    return StatusError(response.status, str(body.get("error") or ""), line=status_line)


def _refuse_redirect(response: http.client.HTTPResponse) -> None:
    if 300 <= response.status < 400:
        target = response.headers.get("Location", "elsewhere")
        raise ConnectionFailed(f"the server redirects to {target}; set OLLAMA_HOST to that address")


@contextmanager
def _translated(method: str, url: str) -> Iterator[None]:
    """Report a broken exchange the way Go does."""
    try:
        yield
    except http.client.IncompleteRead as error:
        raise ConnectionFailed("unexpected EOF") from error
    except http.client.RemoteDisconnected as error:
        raise ConnectionFailed(_with_request(method, url, "EOF")) from error
    except http.client.HTTPException as error:
        raise ConnectionFailed(_with_request(method, url, f"malformed HTTP response: {error}")) from error
    except OSError as error:
        raise ConnectionFailed(_with_request(method, url, _lower(error))) from error


def _connect_error(error: OSError, method: str, url: str, host: str, port: int) -> ConnectionFailed:
    # Compat: registry-store-cli 7.2: a refused connection has its own text, all others are Go's.
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error:
        case ConnectionRefusedError():
            return NotRunning(NOT_RUNNING)
        case socket.gaierror():
            reason = f"dial tcp: lookup {host}: no such host"
        case ssl.SSLError():
            reason = f"tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
        case TimeoutError():
            reason = f"dial tcp {netloc}: i/o timeout"
        case _:
            reason = f"dial tcp {netloc}: connect: {_lower(error)}"
    return ConnectionFailed(_with_request(method, url, reason))


def _with_request(method: str, url: str, reason: str) -> str:
    return f"{method.capitalize()} {quote(url)}: {reason}"


def _lower(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
