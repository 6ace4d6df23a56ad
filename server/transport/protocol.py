"""HTTP/1 on a connection: uvicorn's parser, with a limit for headers and with answers for HTTP/1.0.

Only what must differ is here; uvicorn's classes are written to be derived from, but their insides may change, so the
tests of this module speak to a real socket.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

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
        self._unanswered: deque[_Cycle] = deque()  # the first is being answered; `cycle` is the one that came last

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in self._unanswered:
            cycle.leave()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio: True keeps the connection open
        """The client sends no more, but may still read: what was asked for completely is answered.

        # Compat: Go net/http: a request's context ends here, and what is written all the same is sent.
        """
        if not self._unanswered or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        for cycle in self._unanswered:
            cycle.end_requests()
        return True

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
        # The task that runs the application was made just now, if at all, and has not begun.
        self.cycle.__class__ = _Http10Cycle if self.parser.get_http_version() == "1.0" else _Cycle
        assert isinstance(self.cycle, _Cycle)
        self._unanswered.append(self.cycle)

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        super().on_response_complete()

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


class _Cycle(RequestResponseCycle):
    """A request and its answer. A client that sends no more is gone for whoever waits for what it does next."""

    _is_read = False  # all of the body was handed out
    _is_last = False

    def end_requests(self) -> None:
        """The client sends no more."""
        self._is_last = True
        self.message_event.set()

    def leave(self) -> None:
        """The client is gone."""
        self.disconnected = not self.response_complete
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if message["type"] != "http.request":
            return message
        if self._is_last and self._is_read:
            self.leave()
            self.transport.close()
            return {"type": "http.disconnect"}
        self._is_read = not message["more_body"]
        if self._is_last:
            self.message_event.set()
        return message


class _Http10Cycle(_Cycle):
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
