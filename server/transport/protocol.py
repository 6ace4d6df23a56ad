"""HTTP/1 on a connection: uvicorn's parser, with a limit for headers and with answers for HTTP/1.0.

Only what must differ is here; uvicorn's classes are written to be derived from, but their insides may change, so the
tests of this module speak to a real socket.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)

_HOST = re.compile(rb"[0-9A-Za-z!$%&'()*+,\-.:;=\[\]_~]*")
"""Compat: Go httpguts.ValidHostHeader."""

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?([^/?#]*)")
"""A request line may name the server itself; that counts then, and not the header (RFC 9112 3.2.2)."""

MAX_HEAD_BYTES = 1024 * 1024
"""Compat: Go net/http DefaultMaxHeaderBytes: request line and headers."""


class _BadHost(Exception):
    """Ends the parsing; the parser passes it on as an error of its own."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._n_head_bytes: int | None = 0  # None while a body is received
        self._complaint = b""  # why the request is refused

    def data_received(self, data: bytes) -> None:
        if self._n_head_bytes is not None:
            self._n_head_bytes += len(data)
            data = _without_upgrade(data)
        super().data_received(data)
        if self._n_head_bytes is not None and self._n_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        self._n_head_bytes = None
        self._settle_host()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0":
            # The task that runs the application was made just now and has not begun.
            self.cycle.__class__ = _Http10Cycle

    def on_message_complete(self) -> None:
        self._n_head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """# Compat: Go net/http, `badRequestError`: no length, the reason also in the status line."""
        reason = b"400 Bad Request" + (b": " + self._complaint if self._complaint else b"")
        head = b"HTTP/1.1 " + reason + b"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        self.transport.write(head + reason)
        self.transport.close()

    def _settle_host(self) -> None:
        """See to it that there is one Host header, and that it says whom the request is for. Raises: _BadHost."""
        hosts = [value for name, value in self.headers if name == b"host"]
        has_authority = self.parser.get_method() == b"CONNECT"
        if len(hosts) > 1:
            self._complaint = b"too many Host headers"
        elif not hosts and self.parser.get_http_version() != "1.0" and not has_authority:
            self._complaint = b"missing required Host header"
        elif hosts and not _HOST.fullmatch(hosts[0]):
            self._complaint = b"malformed Host header"
        if self._complaint:
            raise _BadHost
        named = None if has_authority else _ABSOLUTE.match(self.url)
        if named and named[1]:
            self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers.append((b"host", named[1]))

    def _refuse_head(self) -> None:
        text = b"431 Request Header Fields Too Large"
        head = STATUS_LINE[431] + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
        self.transport.write(head + text)
        self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """The head of a request without its offer to speak another protocol, which a server may ignore.

    The parser takes the offer for accepted, and then leaves the body unread. Java's client makes one by default.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or not _UPGRADE.search(data, 0, end):
        return data
    return _UPGRADE.sub(b"\r\nx-offer", data[:end]) + data[end:]


class _Http10Cycle(RequestResponseCycle):
    """An answer without chunks: where its length is not known, the end of the connection is its end."""

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            headers = [(k, v) for k, v in message.get("headers", ()) if k.lower() != b"transfer-encoding"]
            message["headers"] = headers
            self._has_length = any(k.lower() == b"content-length" for k, _ in headers)
            self.chunked_encoding = None if self._has_length else False
            self.keep_alive = False
        elif not self._has_length and message["type"] == "http.response.body":
            self.expected_content_length = 0 if self.scope["method"] == "HEAD" else len(message.get("body", b""))
        await super().send(message)

    _has_length = True
