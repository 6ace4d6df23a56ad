"""Replies of LFM2: thoughts, if it thinks, then content and lists of calls between tokens.

The tokens arrive whole, so content is never held back.
# Compat: prompting 6.14.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from models.parsers.json_values import decode_json
from models.parsers.machine import Machine
from models.parsers.python_calls import find_outside, plain_value
from models.parsers.steps import Expectations, ParserKind, Step
from models.parsers.text import ltrim, rtrim, trim

THINK_BEGIN, THINK_END = "<think>", "</think>"
CALLS_BEGIN, CALLS_END = "<|tool_call_start|>", "<|tool_call_end|>"

_SKIPPED = " \t\r\n,"
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.)*+)(?:\1|\\?\Z)""", re.DOTALL)
_PYTHON = re.compile(r""""(?:[^"\\]|\\.)*+"|'((?:[^'\\]|\\.)*+)'|\b(?:True|False|None)\b""", re.DOTALL)
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


class LFM2Parser(Machine):
    """`thinks`: whether a thought may come first. A block of calls that cannot be read swallows the rest."""

    def __init__(self, expectations: Expectations, *, thinks: bool = False) -> None:
        self._expectations = expectations
        super().__init__(self._find_thought if thinks else self._read_content)

    def add(self, text: str, done: bool) -> Step:
        """As of every machine; a last run that is nothing but calls of declared tools needs no tokens."""
        step = super().add(text, done)
        if not done or step.calls or not self._expectations.tools:
            return step
        try:
            calls = parse_calls(step.content)
        except ValueError:
            return step
        if any(self._expectations.tool(name) is None for name, _ in calls):
            return step
        for name, arguments in calls:
            self._call(name, arguments)
        told, self._calls = tuple(self._calls), []
        return Step("", step.thinking, told)

    def _find_thought(self) -> bool:
        text = ltrim(self._buffer)
        if text.startswith(THINK_BEGIN):
            return self._go_past_spaces(self._read_thought, text.removeprefix(THINK_BEGIN))
        if THINK_BEGIN.startswith(text):
            return self._done and self._go(self._read_content, self._buffer)
        return self._go(self._read_content, text)

    def _read_thought(self) -> bool:
        return self._take_thought(THINK_END) and self._go_past_spaces(self._read_content, self._buffer)

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALLS_BEGIN)
        if tag:
            self._content.append(rtrim(before))
            return self._go(self._read_calls, rest)
        self._content.append(self._take_all())
        return False

    def _read_calls(self) -> bool:
        block, tag, rest = self._buffer.partition(CALLS_END)
        try:
            calls = parse_calls(block) if tag else []
        except ValueError:
            return False
        for name, arguments in calls:
            self._call(name, arguments)
        if not tag:
            return False
        if rest.startswith(CALLS_BEGIN):
            return self._go(self._read_calls, rest.removeprefix(CALLS_BEGIN))
        return self._go(self._read_content, ltrim(rest))


def parse_calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of `[f(a=1), …]`, at least one. Raises: ValueError for any other text."""
    text = trim(trim(trim(text).removeprefix(CALLS_BEGIN)).removesuffix(CALLS_END))
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    calls = list(_calls(text))
    if not calls:
        raise ValueError("no calls")
    return calls


def _calls(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    while text := ltrim(ltrim(text).removeprefix(",")):
        opening = text.find("(")
        name = trim(text[:opening])
        closing = find_outside(text, ")", opening + 1, brackets="()")
        if opening < 0 or not name or closing < 0:
            raise ValueError(text)
        yield name, _arguments(text[opening + 1 : closing])
        text = text[closing + 1 :]


def _arguments(text: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    while text := text.lstrip(_SKIPPED):
        key, equals, rest = text.partition("=")
        if not equals or "," in key:
            raise ValueError(text)
        arguments[trim(key)], text = _value(ltrim(rest))
    return arguments


def _value(text: str) -> tuple[Any, str]:
    """The value at the beginning of a text, and what follows. Escapes in a string stay as they are."""
    quoted = _QUOTED.match(text)
    if quoted:
        return quoted[2], text[quoted.end() :]
    comma = find_outside(text, ",")
    size = len(text) if comma < 0 else comma
    return _unquoted(trim(text[:size])), text[size:]


def _unquoted(text: str) -> Any:
    if text[:1] not in ("[", "{"):
        return plain_value(text)
    for candidate in (text, _PYTHON.sub(_as_json, text)):
        try:
            return decode_json(candidate)
        except ValueError:
            continue
    return text


def _as_json(found: re.Match[str]) -> str:
    """A token of Python as one of JSON."""
    text = found[0]
    if text[0] != "'":
        return _CONSTANTS.get(text, text)
    return '"' + re.sub(r"\\'|\"", lambda mark: "'" if mark[0] == "\\'" else '\\"', text[1:-1]) + '"'


def _thinking_parser(expectations: Expectations) -> LFM2Parser:
    thinks = expectations.thinks(unless_said=False) and not expectations.continues_answer
    return LFM2Parser(expectations, thinks=thinks)


_TOKENS = (THINK_BEGIN, THINK_END, CALLS_BEGIN, CALLS_END)
LFM2 = ParserKind(LFM2Parser, has_tools=True, has_thinking=False, preserved=_TOKENS)
LFM2_THINKING = ParserKind(_thinking_parser, has_tools=True, has_thinking=True, preserved=_TOKENS)
