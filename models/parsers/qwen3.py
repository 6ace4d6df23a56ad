"""Replies of Qwen3 and Qwen3-VL: thoughts, content, calls in JSON.

# Compat: prompting 6.2, 6.3. Text that is held back when the reply ends is lost, as in the original.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from models.parsers.errors import ParserError
from models.parsers.json_values import decode_json, member
from models.parsers.machine import Machine, find_first
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import ltrim, rtrim

CALL, CALL_END = "<tool_call>", "</tool_call>"
THINK, THINK_END = "<think>", "</think>"


class _JsonCallParser(Machine):
    """Content and calls; subclasses differ in where whitespace is dropped."""

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALL)
        if not tag:
            return self._flow(self._content.append, CALL)
        self._content.append(rtrim(before))
        return self._enter_call(rest)

    def _read_thought(self) -> bool:
        before, tag, rest = find_first(self._buffer, THINK_END, CALL)
        if not tag:
            return self._flow(self._thinking.append, THINK_END, CALL)
        self._thinking.append(rtrim(before))
        return self._enter_call(rest) if tag == CALL else self._go_past_spaces(self._read_content, rest)

    def _enter_call(self, rest: str) -> bool:
        return self._go(self._read_call, rest)

    @abstractmethod
    def _read_call(self) -> bool:
        """Go on within a call."""


class Qwen3Parser(_JsonCallParser):
    """Qwen3; `is_thinking_model` False never thinks."""

    def __init__(self, expectations: Expectations, *, is_thinking_model: bool) -> None:
        thinks = is_thinking_model and expectations.thinks(unless_said=True)
        super().__init__(self._read_opening if thinks else self._read_content)

    def _read_opening(self) -> bool:
        text = ltrim(self._buffer)
        if text.startswith(THINK):
            self._buffer = ltrim(text.removeprefix(THINK))
            # Compat: with nothing after it, the tag is looked for again; whitespace that comes later is a thought.
            return bool(self._buffer) and self._go(self._read_thought, self._buffer)
        return not THINK.startswith(text) and self._go(self._read_thought, self._buffer)

    def _enter_call(self, rest: str) -> bool:
        return self._go_past_spaces(self._read_call, rest)

    def _read_call(self) -> bool:
        body, tag, rest = self._buffer.partition(CALL_END)
        if not tag:
            return False
        try:
            name, arguments = _parse_function(rtrim(body))
        except ParserError as error:
            raise ParserError(f"failed to parse JSON: {error}") from error
        if not name:
            raise ParserError("empty function name")
        self._call(name, arguments)
        return self._go(self._read_content, ltrim(rest))


class Qwen3VLParser(_JsonCallParser):
    """Qwen3-VL. Whether the request wants thoughts does not matter: the model decides."""

    def __init__(self, expectations: Expectations, *, is_thinking_model: bool) -> None:
        thinks = is_thinking_model and not expectations.continues_answer
        super().__init__(self._read_thought if thinks else self._read_content)

    def _read_call(self) -> bool:
        body, tag, rest = self._buffer.partition(CALL_END)
        if not tag:
            return False
        self._call(*_parse_function(body))
        return self._go_past_spaces(self._read_content, rest)


def _parse_function(body: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments; both may be missing. Raises: ParserError."""
    try:
        fields = decode_json(body)
    except ValueError as error:
        raise ParserError(str(error)) from error
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise ParserError("a call must be a JSON object")
    name, arguments = member(fields, "name"), member(fields, "arguments")
    if not isinstance(name, str | None) or not isinstance(arguments, dict | None):
        raise ParserError("a call needs a name that is a string, and arguments that are an object")
    return name or "", arguments or {}


_TAGS = (THINK, THINK_END, CALL, CALL_END)
_VL_TAGS = (THINK_END, CALL, CALL_END)


def _kind(make: Callable[..., Machine], tags: tuple[str, ...], *, thinks: bool) -> ParserKind:
    return ParserKind(partial(make, is_thinking_model=thinks), has_tools=True, has_thinking=thinks, preserved=tags)


QWEN3 = _kind(Qwen3Parser, _TAGS, thinks=False)
QWEN3_THINKING = _kind(Qwen3Parser, _TAGS, thinks=True)
QWEN3_VL_INSTRUCT = _kind(Qwen3VLParser, _VL_TAGS, thinks=False)
QWEN3_VL_THINKING = _kind(Qwen3VLParser, _VL_TAGS, thinks=True)
