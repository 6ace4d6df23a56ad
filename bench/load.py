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
    """One finished request: seconds since all were started, and the whole body without its transfer encoding."""

    first_byte_s: float
    last_byte_s: float
    body: bytes


class LoadFailed(Exception):
    """A server refused a request or broke off; carries what it sent."""


async def post_all(url: str, path: str, bodies: list[bytes]) -> list[Exchange]:
    """Send all requests at the same moment, each on a connection of its own, and read the answers to their ends."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    connections = [await asyncio.open_connection(host, port) for _ in bodies]
    began = time.perf_counter()
    for (_, writer), body in zip(connections, bodies, strict=True):
        head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    try:
        return list(await asyncio.gather(*(_read(reader, began) for reader, _ in connections)))
    finally:
        for _, writer in connections:
            writer.close()


async def _read(reader: asyncio.StreamReader, began: float) -> Exchange:
    head = await reader.readuntil(b"\r\n\r\n")
    chunks = [await reader.read(READ_BYTES)]
    first_byte_s = time.perf_counter() - began
    while chunk := await reader.read(READ_BYTES):
        chunks.append(chunk)
    last_byte_s = time.perf_counter() - began
    body = b"".join(chunks)
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadFailed(f"{head[:40]!r} {body[:300]!r}")
    chunked = b"transfer-encoding: chunked" in head.lower()
    return Exchange(first_byte_s, last_byte_s, _joined_chunks(body) if chunked else body)


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
