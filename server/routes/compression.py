"""Bodies that a client compressed.

# Compat: http-api 2.1: zstd, under /v1 alone; Ollama server/cloud_proxy.go cloudPassthroughMiddleware 0.33.
"""

from __future__ import annotations

from server.errors import BadField

MAX_BODY_BYTES = 20 * 1024 * 1024
"""Of what a compressed body stands for."""

MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""How far back a frame may refer, which is what decompressing it costs."""

_MAGIC = (b"\x28\xb5\x2f\xfd", *(bytes((low,)) + b"\x2a\x4d\x18" for low in range(0x50, 0x60)))
"""How frames begin, those with data and those that are skipped. Source: RFC 8878, 3.1."""


class UnreadableBody(BadField):
    """A body that is not what its Content-Encoding says, or far larger than it looks."""


def decompress_zstd(raw: bytes | bytearray) -> bytes:
    """All frames of a body. Raises: UnreadableBody."""
    import zstandard  # here, because few clients compress

    if not raw:
        return b""
    if not raw.startswith(_MAGIC):
        raise UnreadableBody("invalid input: magic number mismatch")
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    whole = bytearray()
    try:
        with decompressor.stream_reader(raw, read_across_frames=True) as reader:
            while part := reader.read(zstandard.DECOMPRESSION_RECOMMENDED_OUTPUT_SIZE):
                whole += part
                if len(whole) > MAX_BODY_BYTES:
                    raise UnreadableBody("http: request body too large")
    except zstandard.ZstdError as error:
        raise UnreadableBody(f"failed to decompress request body: {error}") from error
    return bytes(whole)
