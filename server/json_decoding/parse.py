"""From the bytes of a body to nodes: quickly when they are good JSON, otherwise by the exact grammar."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from server.json_decoding.errors import BodyTooComplex
from server.json_decoding.nodes import Node, Number, Object
from server.json_decoding.syntax import decode_text, parse_exactly

MAX_PARTS = 1_000_000
"""Commas and opening brackets outside of strings; a part costs up to some 150 bytes and 300 ns once it is parsed."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*+")
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


def parse(data: bytes | bytearray) -> Node:
    """The first JSON value of a body; whatever follows it is ignored.

    Raises: DecodeError with the text of Go's decoder.
    # Compat: http-api 2.1, 2.2.
    """
    if len(data) > MAX_PARTS and _has_too_many_parts(data):
        raise BodyTooComplex
    node = _parse_quickly(data)
    return parse_exactly(data) if node is None else node


def _has_too_many_parts(data: bytes | bytearray) -> bool:
    n_parts = _count_parts(data, 0, len(data))
    if n_parts <= MAX_PARTS:
        return False
    for n_strings, string in enumerate(_STRING.finditer(data)):
        n_parts -= _count_parts(data, *string.span())
        if n_parts <= MAX_PARTS:
            return False
        if n_strings > MAX_PARTS:
            return True  # between two strings there is a comma at least
    return True


def _count_parts(data: bytes | bytearray, start: int, end: int) -> int:
    return data.count(b",", start, end) + data.count(b"[", start, end) + data.count(b"{", start, end)


class _NotJson(Exception):
    pass


def _refuse(_: str) -> NoReturn:
    raise _NotJson  # NaN and Infinity


def _to_object(members: list[tuple[str, Node]]) -> Object:
    """A function in Python, so that other threads get their turn within a large body."""
    return Object(members)


_decoder = json.JSONDecoder(object_pairs_hook=_to_object, parse_float=Number, parse_constant=_refuse)


def _parse_quickly(data: bytes | bytearray) -> Object | None:
    """The object that the body begins with; None where the exact grammar must be asked."""
    text = decode_text(data)
    if ("\\ud" in text or "\\uD" in text) and ("\\\\u" in text or _LONE_SURROGATE.search(text)):
        return None  # half a pair, or an escaped backslash that could pass for one
    start = _SPACE.match(text)
    assert start is not None
    try:
        node, _ = _decoder.raw_decode(text, start.end())
    except (ValueError, RecursionError, _NotJson):
        return None
    return node if isinstance(node, Object) else None
