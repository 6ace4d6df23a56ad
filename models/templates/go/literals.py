"""Values of Go's literals."""

from __future__ import annotations

import re

from registry.gojson import quote

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.?)", re.DOTALL
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_UNDERSCORES = re.compile(r"(?<=[0-9a-fA-FxXoObB])_(?=[0-9a-fA-F])")
_LARGEST = 2**63


def unquote(literal: str) -> str:
    """The text of a string literal, in double quotes or backquotes. Raises: ValueError."""
    if literal[0] == "`":
        return literal[1:-1].replace("\r", "")
    # Escapes may spell single bytes of a character, so the text is put together as bytes.
    parts = _ESCAPE.split(literal[1:-1])
    if literal[0] == '"' and '"' in "".join(parts[::6]):
        raise ValueError("invalid syntax")
    made = bytearray(parts[0].encode("utf-8", "replace"))
    for i in range(1, len(parts), 6):
        made += _escaped(*parts[i : i + 5]) + parts[i + 5].encode("utf-8", "replace")
    return made.decode("utf-8", "replace")


def _escaped(simple: str, byte: str, octal: str, short: str, long: str) -> bytes:
    if simple:
        return _SIMPLE.get(simple, simple).encode()
    if byte or octal:
        value = int(byte, 16) if byte else int(octal, 8)
        return bytes([value])  # raises ValueError beyond 0o377
    if not (short or long):
        raise ValueError("invalid syntax")
    return chr(int(short or long, 16)).encode("utf-8", "replace")


def number_value(literal: str) -> int | float:
    """The value of a number or character literal. Raises: ValueError with Go's text."""
    if literal[0] == "'":
        text = unquote(literal)
        if len(text) != 1:
            raise ValueError(f"malformed character constant: {literal}")
        return ord(text)
    plain = _UNDERSCORES.sub("", literal)
    if "_" in plain or plain.endswith("i"):
        raise ValueError(f"bad number syntax: {quote(literal)}")
    lowered = plain.lower()
    is_hex = lowered.lstrip("+-").startswith("0x")
    if any(mark in lowered for mark in (".p" if is_hex else ".e")):
        return _float(lowered, is_hex, literal)
    return _int(plain, lowered, literal)


def _float(text: str, is_hex: bool, literal: str) -> float:
    try:
        return float.fromhex(text) if is_hex else float(text)
    except (ValueError, OverflowError):
        raise ValueError(f"bad number syntax: {quote(literal)}") from None


def _int(text: str, lowered: str, literal: str) -> int:
    digits = lowered.lstrip("+-")
    is_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    try:
        value = int(text, 8 if is_octal else 0)
    except ValueError:
        raise ValueError(f"bad number syntax: {quote(literal)}") from None
    if not -_LARGEST <= value < _LARGEST:
        raise ValueError(f"integer overflow: {quote(literal)}")
    return value
