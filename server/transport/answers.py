"""Complete answers: status, headers, body, framed as Go's server frames them."""

from __future__ import annotations

from dataclasses import dataclass

from server.transport.asgi import Headers, Send

TEXT = (b"content-type", b"text/plain; charset=utf-8")
PLAIN = (b"content-type", b"text/plain")
HTML = (b"content-type", b"text/html; charset=utf-8")
JSON = (b"content-type", b"application/json; charset=utf-8")
BARE_JSON = (b"content-type", b"application/json")
NDJSON = (b"content-type", b"application/x-ndjson")

MAX_BUFFERED_BYTES = 2048
"""Compat: Go net/http buffers so much of an answer before it starts to send; what fits has a Content-Length."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Sent as it is; what says how long the body is may be left out of `headers`."""

    status: int
    headers: Headers = ()
    body: bytes = b""


def framing(method: str, status: int, body: bytes) -> Headers:
    """The header that announces the length, where there is one. # Compat: http-api 1.5; Go net/http cw.writeHeader."""
    if status in (204, 304) or (method == "HEAD" and not body):
        return []
    if len(body) > MAX_BUFFERED_BYTES:
        return [(b"transfer-encoding", b"chunked")]
    return [(b"content-length", b"%d" % len(body))]


async def send_answer(answer: Answer, method: str, send: Send) -> None:
    headers = answer.headers
    if not any(name == b"transfer-encoding" for name, _ in headers):
        headers = [*headers, *framing(method, answer.status, answer.body)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
