"""What kind of medium some bytes are."""

from __future__ import annotations

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
)


def audio_format(data: bytes) -> str:
    """`wav` or `mp3`; empty for what is neither.

    # Compat: prompting 8.1: an ID3 tag or the sync bits of an MPEG frame make an mp3.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    is_frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0
    return "mp3" if data[:3] == b"ID3" or is_frame else ""


def image_type(data: bytes) -> str:
    """The MIME type of an image, by its first bytes; empty for anything else. Source: the WHATWG's MIME sniffing."""
    if data[:4] == b"RIFF" and data[8:14] == b"WEBPVP":
        return "image/webp"
    return next((kind for start, kind in _IMAGES if data.startswith(start)), "")


def media_kind(data: bytes) -> str:
    """`audio`, `image`, or empty for what is neither."""
    return "audio" if audio_format(data) else "image" if image_type(data) else ""
