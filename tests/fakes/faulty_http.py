"""What can go wrong with an HTTP answer, and a handler whose answers go wrong on demand."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fakes.registry import FakeRegistry

CHUNK_BYTES = 64 << 10


@dataclass(frozen=True)
class Drop:
    """The connection is reset after so many bytes of the body."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Cut:
    """The connection is closed in good order after so many bytes of the body, which was promised whole."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Stall:
    """Nothing more is sent after so many bytes; before the status line with None."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Status:
    """A refusal, with a body and perhaps headers."""

    code: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WrongRange:
    """Another stretch than asked for, honestly labelled; or with `lie` labelled as if it were right."""

    shift: int = 1
    lie: bool = False


@dataclass(frozen=True)
class NoRange:
    """Everything with 200, whatever was asked for."""


@dataclass(frozen=True)
class Replace:
    """Another content, of any length."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Redirect:
    """To another address."""

    location: str
    code: int = 307


@dataclass(frozen=True)
class Trickle:
    """So many bytes at a time, with a pause after each."""

    chunk_bytes: int
    pause_s: float = 0.001


@dataclass(frozen=True)
class NoLength:
    """A HEAD answer that does not say how long the blob is."""


Fault = Drop | Cut | Stall | Status | WrongRange | NoRange | Replace | Redirect | Trickle | NoLength


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers of a `registry`, which counts what was sent."""

    registry: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def misbehave(self, fault: Fault, content: bytes) -> None:
        match fault:
            case Status(code, body, headers):
                return self.answer(code, body, headers)
            case Replace(other, headers):
                return self.answer(200, other, headers)
            case Redirect(location, code):
                return self.answer(code, b"", {"Location": location})
            case NoRange():
                return self.answer(200, content)
            case WrongRange(shift, lie):
                first, last = self.wanted_range(content) or (0, len(content) - 1)
                label = (first, last) if lie else (first + shift, last)
                return self.send_range(content, first + shift, last, label)
            case Stall(None):
                self.registry.stall()
                return self.reset()
            case Trickle(chunk_bytes, pause_s):
                return self.send_content(content, chunk_bytes=chunk_bytes, pause_s=pause_s)
            case Drop() if self.command not in ("GET", "HEAD"):
                return self.reset()
            case Drop(after_bytes) | Cut(after_bytes) | Stall(after_bytes):
                self.send_content(content, stop_after=after_bytes)
                if isinstance(fault, Stall):
                    self.registry.stall()
                return self.reset() if isinstance(fault, Drop) else self.close()
        raise AssertionError(f"no {fault} here")

    def wanted_range(self, content: bytes) -> tuple[int, int] | None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return (int(match[1]), min(int(match[2]), len(content) - 1)) if match else None

    def send_content(
        self, content: bytes, *, stop_after: int | None = None, chunk_bytes: int = CHUNK_BYTES, pause_s: float = 0.0
    ) -> None:
        wanted = self.wanted_range(content)
        if wanted is None:
            self.begin(200, {"Content-Length": str(len(content)), "ETag": '"v"'})
            first, last = 0, len(content) - 1
        else:
            first, last = wanted
            if first >= len(content):
                return self.answer(416, b"")
            span = f"bytes {first}-{last}/{len(content)}"
            self.begin(206, {"Content-Length": str(last - first + 1), "Content-Range": span, "ETag": '"v"'})
        end = last + 1 if stop_after is None else min(last + 1, first + stop_after)
        return self.send_body(memoryview(content)[first:end], chunk_bytes, pause_s)

    def send_range(self, content: bytes, first: int, last: int, label: tuple[int, int]) -> None:
        part = content[first : last + 1]
        span = f"bytes {label[0]}-{label[1]}/{len(content)}"
        self.begin(206, {"Content-Length": str(len(part)), "Content-Range": span})
        self.send_body(memoryview(part), CHUNK_BYTES, 0.0)

    def send_body(self, body: memoryview, chunk_bytes: int, pause_s: float) -> None:
        if self.command == "HEAD":
            return
        for start in range(0, len(body), chunk_bytes):
            chunk = body[start : start + chunk_bytes]
            self.wfile.write(chunk)
            self.registry.count(len(chunk))
            if pause := pause_s or self.registry.pause_s:
                time.sleep(pause)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        headers = headers or {}
        length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
        self.begin(status, {**length, **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def close(self) -> None:
        self.close_connection = True

    def reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
