"""Arguments that a model wrote as text, as values of the types that the tool declares.

# Compat: prompting 0.6.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from models.parsers.json_values import decode_json

_INT = re.compile(r"[+-]?0{0,999}[0-9]{1,19}")
_DIGITS, _HEX = "[0-9](?:_?[0-9])*", "[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_FLOAT = re.compile(rf"[+-]?(?=\.?[0-9])(?:{_DIGITS})?(?:\.(?:{_DIGITS})?)?(?:[eE][+-]?{_DIGITS})?")
_HEX_FLOAT = re.compile(rf"[+-]?0[xX]_?(?:{_HEX})?(?:\.(?:{_HEX})?)?[pP][+-]?{_DIGITS}")
_WORDS = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "nan"}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class _Mismatch(Exception):
    """The text is not of the type."""


def typed_value(text: str, types: Collection[str], *, trims_newlines: bool = True) -> Any:
    """The value of a text, by the first of the types that it fits; the text itself if it fits none."""
    if trims_newlines:
        text = text.removeprefix("\n").removesuffix("\n")
    if text.lower() == "null":
        return None
    for name, read in _READERS:
        if name in types:
            try:
                return read(text)
            except _Mismatch:
                if set(types) == {"boolean"}:
                    return False
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _Mismatch
    return text.lower() == "true"


def _integer(text: str) -> int:
    if not _INT.fullmatch(text) or not _SMALLEST <= int(text) <= _LARGEST:
        raise _Mismatch
    return int(text)


def _number(text: str) -> int | float:
    value = parse_float(text)
    if value is None:
        raise _Mismatch
    is_integral = value == value and abs(value) != float("inf") and value == int(value)
    return int(value) if is_integral else value


def parse_float(text: str) -> float | None:
    """What Go's ParseFloat reads; None for what it refuses. Beyond the range of a float64 it refuses too."""
    if text.lower() in _WORDS:
        return float(text)
    if _HEX_FLOAT.fullmatch(text):
        try:
            return float.fromhex(text.replace("_", ""))
        except (ValueError, OverflowError):
            return None
    if not _FLOAT.fullmatch(text):
        return None
    value = float(text.replace("_", ""))
    return None if abs(value) == float("inf") else value


def _array(text: str) -> Any:
    return _decoded(text, list)


def _object(text: str) -> Any:
    return _decoded(text, dict)


def _decoded(text: str, kind: type) -> Any:
    try:
        value = decode_json(text)
    except ValueError:
        raise _Mismatch from None
    if not isinstance(value, kind):
        raise _Mismatch
    return value


_READERS = (
    ("boolean", _boolean),
    ("integer", _integer),
    ("number", _number),
    ("array", _array),
    ("object", _object),
)
