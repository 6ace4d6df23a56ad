"""Replies of FunctionGemma: content, and calls `call:NAME{key:<escape>text<escape>,…}` between tags.

# Compat: prompting 6.11. Nothing is told when the reply ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from models.parsers.machine import Machine
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import hold_overlap
from models.parsers.typed_values import parse_float

CALL, CALL_END = "<start_function_call>", "<end_function_call>"
_ESCAPE = "<escape>"
_PIECE = re.compile(rf"{_ESCAPE}.*?(?:{_ESCAPE}|\Z)|[^<,{{}}\[\]]+|.", re.DOTALL)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(
    r"[ \t]*([+-]?(?:0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*|[0-9_]*\.?[0-9_]*)(?:[eEpP][+-]?[0-9_]*)?)", re.ASCII
)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_MAX_DEPTH = 32


class FunctionGemmaParser(Machine):
    """What stands between two calls of one run is lost."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(self._read_content)

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALL)
        if tag:
            self._content.append(before)
            return self._go(self._read_call, rest)
        sent, self._buffer = hold_overlap(self._buffer, (CALL,))
        self._content.append(sent)
        return False

    def _read_call(self) -> bool:
        text, tag, rest = self._buffer.partition(CALL_END)
        if not tag:
            return False
        self._call(*parse_functiongemma_call(text))
        return self._go(self._read_call if CALL in rest else self._read_content, rest)


FUNCTIONGEMMA = ParserKind(FunctionGemmaParser, has_tools=True, has_thinking=False, preserved=(CALL, CALL_END))


def parse_functiongemma_call(text: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the first call in a text; the name is empty if there is none."""
    name, arguments = _find_call(text)
    return name, _arguments(arguments, 0)


def _find_call(text: str) -> tuple[str, str]:
    """Name and arguments of the first `call:NAME{…}` whose braces stand in one line; both empty if there is none."""
    start = 0
    while (brace := text.find("{", start)) >= 0:
        place = text.find("call:", start, brace)
        name = text[place + len("call:") : brace] if place >= 0 else ""
        line = text[brace + 1 :].partition("\n")[0] if name else ""
        if "}" in line:
            return name, line[: line.rindex("}")]
        start = brace + 1
    return "", ""


def _arguments(text: str, depth: int) -> dict[str, Any]:
    pairs = (part.partition(":") for part in _parts(text))
    return {key: _value(value, depth) for key, colon, value in pairs if colon}


def _parts(text: str) -> Iterator[str]:
    """What stands between the commas that are within neither a string nor brackets."""
    part, depth = "", 0
    for piece in _PIECE.findall(text):
        if piece == "," and depth == 0:
            if part:
                yield part
            part = ""
            continue
        depth += (piece in ("{", "[")) - (piece in ("}", "]"))
        part += piece
    if part:
        yield part


def _value(text: str, depth: int) -> Any:
    if text.startswith(_ESCAPE) and text.endswith(_ESCAPE):
        return text[len(_ESCAPE) : -len(_ESCAPE)]
    if text in ("true", "false"):
        return text == "true"
    number = _number(text)
    if number is not None:
        return number
    if depth < _MAX_DEPTH and text.startswith("[") and text.endswith("]"):
        return [_value(part, depth + 1) for part in _parts(text[1:-1])]
    if depth < _MAX_DEPTH and text.startswith("{") and text.endswith("}"):
        return _arguments(text[1:-1], depth + 1)
    return text


def _number(text: str) -> int | float | None:
    """The number that a text begins with; None if there is none."""
    if _INTEGER.fullmatch(text) and _SMALLEST <= int(text) <= _LARGEST:
        return int(text)
    found = _NUMBER.match(text)
    return parse_float(found[1]) if found else None
