"""The client of the benchmarks: many streaming requests at once, with as little work for each as the protocol allows.

It shares the machine's cores with the servers, so it only notes when bytes come; they are parsed when all is over.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Exchange:
    """One finished request: seconds since the first was sent, and the whole body without its transfer encoding."""

    sent_s: float
    first_byte_s: float
    last_byte_s: float
    body: bytes
    arrivals_s: list[float]
    """When there was something to read: about one entry for each token of a stream."""


class LoadFailed(Exception):
    """A server refused a request or broke off; carries what it sent."""


async def post_all(url: str, path: str, bodies: list[bytes], *, n_first: int | None = None) -> list[Exchange]:
    """Send all requests at the same moment, each on a connection of its own, and read the answers to their ends.

    `n_first`: the others are sent as soon as so many first ones are being answered.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    connections = [await asyncio.open_connection(host, port) for _ in bodies]
    began = time.perf_counter()
    answering = asyncio.Barrier(n_first + 1) if n_first else None

    async def exchange(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        is_first = n_first is None or number < n_first
        if answering and not is_first:
            await answering.wait()
        sent_s = time.perf_counter() - began
        writer.write(_request(path, parts.netloc, bodies[number]))
        return await _read(reader, began, sent_s, answering if is_first else None)

    try:
        return list(await asyncio.gather(*(exchange(i, *connection) for i, connection in enumerate(connections))))
    finally:
        for _, writer in connections:
            writer.close()


def _request(path: str, host: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


async def _read(
    reader: asyncio.StreamReader, began: float, sent_s: float, answering: asyncio.Barrier | None
) -> Exchange:
    head = await reader.readuntil(b"\r\n\r\n")
    chunks = [await reader.read(READ_BYTES)]
    arrivals_s = [time.perf_counter() - began]
    waiting = asyncio.create_task(answering.wait()) if answering else None
    while chunk := await reader.read(READ_BYTES):
        chunks.append(chunk)
        arrivals_s.append(time.perf_counter() - began)
    if waiting:
        await waiting
    last_byte_s = time.perf_counter() - began
    body = b"".join(chunks)
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadFailed(f"{head[:40]!r} {body[:300]!r}")
    chunked = b"transfer-encoding: chunked" in head.lower()
    return Exchange(sent_s, arrivals_s[0], last_byte_s, _joined_chunks(body) if chunked else body, arrivals_s)


def _joined_chunks(raw: bytes) -> bytes:
    """Undo the chunked transfer encoding (RFC 9112 section 7.1)."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
