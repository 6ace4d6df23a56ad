"""Replies of OLMo 3: content, then calls of functions line by line; or thoughts, then content.

# Compat: prompting 6.7, 6.8.
"""

from __future__ import annotations

import re
from typing import Any

from models.parsers.machine import Machine
from models.parsers.python_calls import plain_value, split_at_commas
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import hold_overlap, trim

CALLS_BEGIN, CALLS_END = "<function_calls>", "</function_calls>"
THINK_END = "</think>"

_CALL = re.compile(r"([0-9A-Za-z_]+)\((.*)\)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\\"'ntr])")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_MAX_DEPTH = 100
"""Lists and maps nested deeper stay text."""


class Olmo3Parser(Machine):
    """The last run is not parsed: what it completes is lost, or content if no call was begun."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(self._read_content)

    def _advance(self, done: bool) -> bool:
        if not done:
            return super()._advance(done)
        rest = self._take_all()
        if self._state == self._read_content:
            self._content.append(rest)
        return False

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALLS_BEGIN)
        if tag:
            self._content.append(before)
            return self._go(self._read_calls, rest)
        sent, self._buffer = hold_overlap(before, (CALLS_BEGIN,))
        self._content.append(sent)
        return False

    def _read_calls(self) -> bool:
        block, tag, rest = self._buffer.partition(CALLS_END)
        if not tag:
            return False
        try:
            calls = parse_call_lines(block)
        except ValueError:
            calls = []  # one bad line discards its block
        for name, arguments in calls:
            self._call(name, arguments)
        return self._go(self._read_rest, rest)

    def _read_rest(self) -> bool:
        if self._buffer:
            self._content.append(self._take_all())
            self._state = self._read_content
        return False


def parse_call_lines(block: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of calls, one in each line. Raises: ValueError if one line is none."""
    return [_parse_call(line) for line in map(trim, block.split("\n")) if line]


def _parse_call(line: str) -> tuple[str, dict[str, Any]]:
    found = _CALL.fullmatch(line)
    if found is None:
        raise ValueError(line)
    return found[1], _members(found[2], "=")


def _members(text: str, separator: str, depth: int = 0) -> dict[str, Any]:
    """The keys and values between commas. Raises: ValueError for a member without a separator."""
    members: dict[str, Any] = {}
    for part in map(trim, split_at_commas(trim(text))):
        if not part:
            continue
        key, found, value = part.partition(separator)
        if not found:
            raise ValueError(part)
        key = trim(key)
        members[_unquoted(key) if depth else key] = _value(trim(value), depth)
    return members


def _value(text: str, depth: int) -> Any:
    if _is_quoted(text):
        return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), text[1:-1])
    if text == "nil":
        return None
    if depth < _MAX_DEPTH and text.startswith("[") and text.endswith("]"):
        return [_value(trim(part), depth + 1) for part in split_at_commas(trim(text[1:-1]))]
    if depth < _MAX_DEPTH and text.startswith("{") and text.endswith("}"):
        return _members(text[1:-1], ":", depth + 1)
    return plain_value(text)


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def _unquoted(text: str) -> str:
    return text[1:-1] if _is_quoted(text) else text


class Olmo3ThinkParser(Machine):
    """Every reply begins with a thought, unless it continues an answer."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(self._read_content if expectations.continues_answer else self._read_thought)

    def _read_thought(self) -> bool:
        return self._take_thought(THINK_END) and self._go(self._read_content, self._buffer)

    def _read_content(self) -> bool:
        self._content.append(self._take_all())
        return False


OLMO3 = ParserKind(Olmo3Parser, has_tools=True, has_thinking=False, preserved=(CALLS_BEGIN, CALLS_END))
OLMO3_THINK = ParserKind(Olmo3ThinkParser, has_tools=False, has_thinking=True, preserved=(THINK_END,))
