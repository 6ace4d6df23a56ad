"""JSON within a block of calls: read as far as it goes, and told apart from what will never be JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from models.parsers.call_blocks import Incomplete, JsonWatch, Malformed

BLANKS = " \t\r\n"
_NUMBER_UNDER_WAY = re.compile(r"[-.]|[eE][+-]?")


def skip_blanks(text: str, at: int) -> int:
    """Where the next text begins."""
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def expect(text: str, at: int, tag: str) -> int:
    """Where a tag ends that may follow whitespace. Raises: Incomplete, Malformed."""
    if not tag:
        return at
    at = skip_blanks(text, at)
    if text.startswith(tag, at):
        return at + len(tag)
    if tag.startswith(text[at:]):
        raise Incomplete
    raise Malformed


def read_json(text: str, at: int, name: str = "") -> tuple[Any, int]:
    """The object or list that stands there, and its end. `name`: the call it belongs to.

    Raises: Incomplete, Malformed.
    """
    if at == len(text):
        raise Incomplete(name)
    if text[at] not in "{[":
        raise Malformed
    try:
        return _decoder.raw_decode(text, at)
    except json.JSONDecodeError as error:
        if _is_cut_off(text, error):
            raise Incomplete(name, _watch(text[at:])) from None
        raise Malformed from None
    except RecursionError:
        raise Malformed from None


def parsed(text: str) -> Any:
    """The value of a text that is JSON itself; None if it is none."""
    try:
        return _decoder.decode(text or "{}")
    except (ValueError, RecursionError):
        return None


def _watch(text: str) -> JsonWatch | None:
    watch = JsonWatch(text)
    return None if watch.sees("") else watch


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether more text could still make this JSON."""
    left = text[error.pos : error.pos + 16].rstrip()
    if error.msg.startswith("Unterminated string") or not left:
        return True
    if error.msg.startswith("Invalid \\"):
        return len(left) < len("\\u0000")
    if _NUMBER_UNDER_WAY.fullmatch(left):
        return True
    return any(word.startswith(left) for word in ("true", "false", "null"))


def _refuse_constant(name: str) -> None:
    raise Malformed(name)  # NaN and infinities: Python reads them, JSON has none


_decoder = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)
