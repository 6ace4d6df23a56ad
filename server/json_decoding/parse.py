"""From the bytes of a body to nodes: quickly when they are good JSON, otherwise by the exact grammar."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from server.json_decoding.errors import BodyTooComplex
from server.json_decoding.nodes import Node, Number, Object
from server.json_decoding.syntax import decode_text, parse_exactly

MAX_PARTS = 4_000_000
"""Commas and opening brackets, those within strings included; a part costs up to some 150 bytes once it is parsed."""

_COUNT_FROM_BYTES = 1024 * 1024
_SPACE = re.compile(r"[ \t\r\n]*+")
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


def parse(data: bytes | bytearray) -> Node:
    """The first JSON value of a body; whatever follows it is ignored.

    Raises: DecodeError with the text of Go's decoder.
    # Compat: http-api 2.1, 2.2.
    """
    if len(data) > _COUNT_FROM_BYTES and data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_PARTS:
        raise BodyTooComplex
    node = _parse_quickly(data)
    return parse_exactly(data) if node is None else node


class _NotJson(Exception):
    pass


def _refuse(_: str) -> NoReturn:
    raise _NotJson  # NaN and Infinity


_decoder = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_refuse)


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
