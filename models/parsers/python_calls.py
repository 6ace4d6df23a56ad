"""Calls that a model writes in Python's way: what stands outside quotes and brackets, and what plain values mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from models.parsers.typed_values import parse_float

_MARKS = re.compile(
    r"""
    "(?:[^"\\]|\\.)*+(?:"|\\?\Z)    # a string, perhaps without its end
    | '(?:[^'\\]|\\.)*+(?:'|\\?\Z)
    | [()\[\]{},]
    """,
    re.DOTALL | re.VERBOSE,
)
_INT = re.compile(r"[+-]?[0-9]{1,20}")
_LIMIT = 2**63
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


def find_outside(text: str, wanted: str, start: int = 0, *, brackets: str = "()[]{}") -> int:
    """Where a comma or closing bracket stands outside strings and pairs of `brackets`; -1: nowhere."""
    depth = 0
    for found in _MARKS.finditer(text, start):
        mark = found[0]
        if depth == 0 and mark == wanted:
            return found.start()
        place = brackets.find(mark)
        if place >= 0:
            depth += -1 if place % 2 else 1
    return -1


def split_at_commas(text: str) -> Iterator[str]:
    """The parts between commas that stand outside quotes and brackets; no part after a comma at the end."""
    start, depth = 0, 0
    for found in _MARKS.finditer(text):
        mark = found[0]
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark in (")", "]", "}"):
            depth -= 1
        elif mark == "," and depth == 0:
            yield text[start : found.start()]
            start = found.end()
    if start < len(text):
        yield text[start:]


def plain_value(text: str) -> Any:
    """The constant or number that a text is; else the text itself, as for numbers that JSON cannot say."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and -_LIMIT <= int(text) < _LIMIT:
        return int(text)
    number = parse_float(text)
    is_number = number is not None and number == number and abs(number) != float("inf")
    return number if is_number else text
