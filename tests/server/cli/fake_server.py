"""A small real HTTP server that answers as a test scripts it, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came; `body` is its JSON, or its bytes when it is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """One answer: `json`, or `lines` as NDJSON, each sent when the iterable yields it, or raw `text`."""

    status: int = 200
    json: Any = None
    lines: Iterable[Json] | None = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


Answer = Reply | Callable[[Any], Reply]


class FakeServer:
    """`answers`: "POST /api/show" → a reply, a list of replies given one after the other, or a function of the body."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {"HEAD /": Reply()}
        self.requests: list[Request] = []
        self.disconnects = threading.Semaphore(0)
        """Released for each client that left before its answer was complete."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def calls(self, *, without_heartbeat: bool = True) -> list[str]:
        """What was asked, as "POST /api/show"."""
        lines = [f"{request.method} {request.path}" for request in self.requests]
        return [line for line in lines if not (without_heartbeat and line == "HEAD /")]

    def bodies(self, call: str) -> list[Any]:
        return [request.body for request in self.requests if f"{request.method} {request.path}" == call]

    def next_reply(self, request: Request) -> Reply:
        self.requests.append(request)
        path = request.path.partition("?")[0]
        answer = self.answers.get(f"{request.method} {path}") or self.answers.get(f"{request.method} *")
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is None:
            return Reply(404, text="404 page not found")
        return answer if isinstance(answer, Reply) else answer(request.body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler_for(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            reply = server.next_reply(Request(self.command, self.path, dict(self.headers), self._read_body()))
            try:
                self._send(reply)
            except (BrokenPipeError, ConnectionResetError):
                server.disconnects.release()
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_DELETE = do_any

        def _read_body(self) -> Any:
            raw = b"".join(self._chunks()) if self.headers.get("Transfer-Encoding") == "chunked" else self._sized()
            try:
                return json.loads(raw) if raw else None
            except ValueError:
                return raw

        def _sized(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.lines is not None:
                self._send_lines(reply.lines)
                return
            raw = (reply.text or "").encode() if reply.json is None else json.dumps(reply.json).encode()
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

        def _send_lines(self, lines: Iterable[Json]) -> None:
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                raw = json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(raw), raw))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Tests read `requests` instead."""

    return Handler
