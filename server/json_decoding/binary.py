"""Go's base64: padded standard alphabet, line breaks ignored, the position of the first wrong byte.

Source: Go encoding/base64, Encoding.Decode and decodeQuantum.
"""

from __future__ import annotations

import binascii
import re

from server.json_decoding.errors import Refused

_LINE_BREAKS = b"\r\n"
_PADDING = ord("=")
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_WHOLE = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")


def decode_base64(text: str) -> bytes:
    """The bytes that `text` stands for. Raises: Refused, `illegal base64 data at input byte N`."""
    data = text.encode("utf-8")
    joined = data.translate(None, _LINE_BREAKS) if b"\n" in data or b"\r" in data else data
    if len(joined) % 4 or not _WHOLE.fullmatch(joined):
        raise Refused(f"illegal base64 data at input byte {_first_error(data)}")
    return binascii.a2b_base64(joined)


def _first_error(data: bytes) -> int:
    """Where Go gives up on data that is not base64: it reads quanta of four characters, skipping line breaks."""
    digits = 0  # of the current quantum
    position = 0
    while position < len(data):
        byte = data[position]
        if byte in _LINE_BREAKS:
            position += 1
        elif byte in _ALPHABET:
            digits = (digits + 1) % 4
            position += 1
        else:
            return _padding_error(data, position, digits) if byte == _PADDING else position
    return position - digits


def _padding_error(data: bytes, position: int, digits: int) -> int:
    """The same from the first `=` on, after so many digits of its quantum."""
    if digits < 2:
        return position
    following = _skip_line_breaks(data, position + 1)
    if digits == 2:
        if following == len(data):
            return following
        if data[following] != _PADDING:
            return following - 1
        following = _skip_line_breaks(data, following + 1)
    return following


def _skip_line_breaks(data: bytes, position: int) -> int:
    while position < len(data) and data[position] in _LINE_BREAKS:
        position += 1
    return position
