# ruff: noqa: RUF001
# The tokens of these models are written with a fullwidth bar.
"""Replies of DeepSeek 3.1 and of Cogito: thoughts, then content with calls and outputs of tools between tokens.

The tokens arrive whole, so content is never held back.
# Compat: prompting 6.5, 6.6.
"""

from __future__ import annotations

from abc import abstractmethod
from enum import Enum, auto
from typing import Any

from models.parsers.json_values import decode_object
from models.parsers.state_machine import StateMachine
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import ltrim, rtrim, trim

THINK_END = "</think>"
CALLS_BEGIN, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL_BEGIN, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
SEPARATOR = "<｜tool▁sep｜>"
OUTPUTS_BEGIN, OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
OUTPUT_BEGIN, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"

_TOKENS = (
    *(THINK_END, CALLS_BEGIN, CALLS_END, CALL_BEGIN, CALL_END),
    *(SEPARATOR, OUTPUT_BEGIN, OUTPUT_END),
)


class _State(Enum):
    THINKING = auto()
    CONTENT = auto()
    CALLS = auto()
    OUTPUT = auto()


class _TokenParser(StateMachine):
    def __init__(self, *, thinks: bool) -> None:
        super().__init__()
        self._state = _State.THINKING if thinks else _State.CONTENT

    def _advance(self, done: bool) -> bool:
        match self._state:
            case _State.THINKING:
                if not self._take_thought(THINK_END):
                    return False
                self._state = _State.CONTENT
                return True
            case _State.CONTENT:
                return self._read_content()
            case _State.CALLS:
                return self._read_call()
            case _State.OUTPUT:
                return self._read_output()

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALLS_BEGIN)
        if tag:
            self._content.append(rtrim(before))
            self._buffer, self._state = rest, _State.CALLS
            return True
        if self._read_output_begin():
            self._state = _State.OUTPUT
            return True
        self._content.append(self._take_all())
        return False

    def _read_call(self) -> bool:
        _, begin, body = self._buffer.partition(CALL_BEGIN)
        text, end, rest = body.partition(CALL_END)
        call = self._parse_call(text) if begin and end else None
        if call is not None:
            self._call(*call)
            self._buffer = ltrim(rest)
            return True
        # A malformed call is skipped, and so are those after it.
        _, end, rest = self._buffer.partition(CALLS_END)
        if end:
            self._buffer, self._state = ltrim(rest), _State.CONTENT
        return bool(end)

    @abstractmethod
    def _parse_call(self, text: str) -> tuple[str, dict[str, Any]] | None:
        """Name and arguments; None if the text is no call."""

    @abstractmethod
    def _read_output_begin(self) -> bool:
        """Tell the content before the output of a tool, and enter it; False if there is none."""

    @abstractmethod
    def _read_output(self) -> bool:
        """Go on within the output of a tool."""


class DeepSeekParser(_TokenParser):
    """DeepSeek 3.1. Outputs of tools that the model writes itself are content."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(thinks=expectations.thinks(unless_said=False) and not expectations.continues_answer)

    def _parse_call(self, text: str) -> tuple[str, dict[str, Any]] | None:
        name, separator, rest = text.partition(SEPARATOR)
        arguments = decode_object(trim(rest))
        return (trim(name), arguments) if separator and arguments is not None else None

    def _read_output_begin(self) -> bool:
        before, tag, rest = self._buffer.partition(OUTPUT_BEGIN)
        if tag:
            self._content.append(before)
            self._buffer = rest
        return bool(tag)

    def _read_output(self) -> bool:
        output, tag, rest = self._buffer.partition(OUTPUT_END)
        if tag:
            self._content.append(output)
            self._buffer, self._state = rest, _State.CONTENT
        return bool(tag)


class CogitoParser(_TokenParser):
    """Cogito, which does not think when there are tools. Outputs of tools are dropped."""

    def __init__(self, expectations: Expectations) -> None:
        thinks = expectations.thinks(unless_said=False) and not expectations.tools
        super().__init__(thinks=thinks and not expectations.continues_answer)

    def _parse_call(self, text: str) -> tuple[str, dict[str, Any]] | None:
        _, separator, text = text.partition(SEPARATOR)
        name, opening, rest = text.partition("\n```json\n")
        body, closing, _ = rest.partition("\n```")
        arguments = decode_object(body)
        is_whole = separator and opening and closing
        return (trim(name), arguments) if is_whole and arguments is not None else None

    def _read_output_begin(self) -> bool:
        before, tag, rest = self._buffer.partition(OUTPUTS_BEGIN)
        if tag:
            self._content.append(rtrim(before))
            self._buffer = rest
        return bool(tag)

    def _read_output(self) -> bool:
        _, begin, body = self._buffer.partition(OUTPUT_BEGIN)
        _, end, rest = body.partition(OUTPUT_END)
        if begin and end:
            self._buffer = ltrim(rest)
            return True
        _, end, rest = self._buffer.partition(OUTPUTS_END)
        if end:
            self._buffer, self._state = ltrim(rest), _State.CONTENT
        return bool(end)


DEEPSEEK = ParserKind(DeepSeekParser, has_tools=True, has_thinking=True, preserved=_TOKENS)
COGITO = ParserKind(CogitoParser, has_tools=True, has_thinking=True, preserved=(*_TOKENS, OUTPUTS_BEGIN, OUTPUTS_END))
