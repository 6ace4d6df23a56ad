"""What a file is, by its first bytes.

Source: WHATWG MIME Sniffing, as Go's net/http DetectContentType has it; the types that models and attachments meet.
"""

from __future__ import annotations

HEAD_BYTES = 512

_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain"),
    (b"\xff\xfe", "text/plain"),
    (b"\xef\xbb\xbf", "text/plain"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x01\x00\x00", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"ttcf", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
)
_CONTAINERS = (  # first bytes, then those from the ninth on
    (b"RIFF", b"WEBPVP", "image/webp"),
    (b"RIFF", b"WAVE", "audio/wave"),
    (b"RIFF", b"AVI ", "video/avi"),
    (b"FORM", b"AIFF", "audio/aiff"),
)
_TAG_NAMES = "!doctype html,html,head,script,iframe,h1,div,font,table,a,style,title,b,body,br,p"
_TAGS = tuple(f"<{name}".encode() for name in _TAG_NAMES.split(","))
_BINARY = frozenset(range(0x20)) - frozenset(b"\t\n\x0c\r\x1b")


def content_type(head: bytes) -> str:
    """The media type, without parameters, of data that starts with these bytes (512 at most are looked at)."""
    head = head[:HEAD_BYTES]
    text = head.lstrip(b"\t\n\x0c\r ")
    lower = text.lower()
    if lower.startswith(b"<!--") or any(
        lower.startswith(tag) and lower[len(tag) :][:1] in (b" ", b">") for tag in _TAGS
    ):
        return "text/html"
    if text.startswith(b"<?xml"):
        return "text/xml"
    for start, middle, kind in _CONTAINERS:
        if head.startswith(start) and head[8:].startswith(middle):
            return kind
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    return "application/octet-stream" if _BINARY.intersection(head) else "text/plain"


def _is_html(text: bytes) -> bool:
    if text.startswith(b"<!--"):
        return True
    return any(text.startswith(tag) and text[len(tag) : len(tag) + 1] in (b" ", b">") for tag in _TAGS)
