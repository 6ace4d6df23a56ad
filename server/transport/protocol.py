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

MAX_HEAD_BYTES = 1024 * 1024
"""Compat: Go net/http DefaultMaxHeaderBytes: request line and headers."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._n_head_bytes: int | None = 0  # None while a body is received

    def data_received(self, data: bytes) -> None:
        if self._n_head_bytes is not None:
            self._n_head_bytes += len(data)
            data = _without_upgrade(data)
        super().data_received(data)
        if self._n_head_bytes is not None and self._n_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        self._n_head_bytes = None
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0":
            # The task that runs the application was made just now and has not begun.
            self.cycle.__class__ = _Http10Cycle

    def on_message_complete(self) -> None:
        self._n_head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """# Compat: Go net/http says no more about what it cannot parse."""
        super().send_400_response("400 Bad Request")

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
