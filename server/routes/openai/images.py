"""Images as data URIs. # Compat: http-api 8.2; Ollama openai/openai.go decodeImageURL 0.33."""

from __future__ import annotations

from server.json_decoding.binary import decode_base64
from server.json_decoding.errors import Refused
from server.routes.v1 import Untranslatable

PREFIXES = ("data:;base64,", *(f"data:image/{kind};base64," for kind in ("jpeg", "jpg", "png", "webp")))
REMOTE = ("http://", "https://")


def decode_image(url: str) -> bytes:
    """The bytes of a data URI. Raises: Untranslatable, also for an address, which is not fetched."""
    if url.startswith(REMOTE):
        raise Untranslatable("image URLs are not currently supported, please use base64 encoded data instead")
    prefix = next((p for p in PREFIXES if url.startswith(p)), None)
    if prefix is None:
        raise Untranslatable("invalid image input")
    try:
        return decode_base64(url[len(prefix) :])
    except Refused as error:
        raise Untranslatable("invalid image input") from error
