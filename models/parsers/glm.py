"""Replies of GLM 4.7 and GLM OCR: thoughts, content, calls with `<arg_key>` and `<arg_value>`.

# Compat: prompting 6.12, 6.13. Text that is held back when the reply ends is lost; a call that has not ended by then is
accepted only when nothing is missing from it.
"""

from __future__ import annotations

from models.parsers.errors import ParserError
from models.parsers.glm_calls import Elements, MalformedCall, read_elements, repaired
from models.parsers.machine import Machine
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import ltrim, overlap, rtrim, trim
from models.parsers.typed_values import typed_value
from models.templates.schema import types_of

THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
ARGUMENT_TAGS = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")


class GlmOcrParser(Machine):
    """Thinks if the reply begins with `<think>`."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(self._read_opening)
        self._expectations = expectations

    def _read_opening(self) -> bool:
        text = ltrim(self._buffer)
        if text.startswith(THINK):
            return self._go_past_spaces(self._read_thought, text.removeprefix(THINK))
        return not THINK.startswith(text) and self._go(self._read_content, self._buffer)

    def _read_thought(self) -> bool:
        before, tag, rest = self._buffer.partition(THINK_END)
        if not tag:
            return self._flow(self._thinking.append, THINK_END)
        self._thinking.append(rtrim(before))
        return self._go_past_spaces(self._read_content, rest)

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALL)
        if not tag:
            return self._flow(self._content.append, CALL)
        self._content.append(rtrim(before))
        return self._go(self._read_call, rest)

    def _read_call(self) -> bool:
        body, tag, rest = self._buffer.partition(CALL_END)
        if tag:
            self._tell(_elements(trim(body)))
            return self._go(self._read_content, ltrim(rest))
        if self._done:
            text = self._take_all()
            self._tell(self._last_elements(trim(text[: len(text) - overlap(text, CALL_END)])))
        return False

    def _tell(self, elements: Elements) -> None:
        parameter = self._expectations.parameter
        name = elements.name
        self._call(
            name, {key: typed_value(value, types_of(parameter(name, key))) for key, value in elements.arguments()}
        )

    def _last_elements(self, body: str) -> Elements:
        """The parts of a call that the reply ended in. Raises: ParserError."""
        try:
            elements = read_elements(body)
            elements.check()
        except ParserError as error:
            raise ParserError(f"incomplete GLM tool call: {error}") from error
        if reason := self._missing(elements):
            raise ParserError(f"incomplete GLM tool call: {reason}")
        return elements

    def _missing(self, elements: Elements) -> str:
        tool = self._expectations.tool(elements.name)
        if tool is None:
            return f'unknown tool "{elements.name}"'
        given = dict(elements.arguments())
        if "" in given:
            return "empty argument key"
        required = tool["parameters"].get("required") or ()
        absent = next((name for name in required if name not in given), None)
        return "" if absent is None else f'required argument "{absent}" is missing for tool "{elements.name}"'


class Glm47Parser(GlmOcrParser):
    """Thinks from the start, unless told not to."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(expectations)
        if expectations.thinks(unless_said=True):
            self._state = self._read_thought


def _elements(body: str) -> Elements:
    """The parts of a call, repaired if need be. Raises: ParserError."""
    try:
        elements = read_elements(body)
    except MalformedCall:
        try:
            elements = read_elements(repaired(body))
        except MalformedCall as error:
            raise ParserError(f"failed to parse XML: {error}") from error
    elements.check()
    return elements


_TAGS = (THINK, THINK_END, CALL, CALL_END, *ARGUMENT_TAGS)

GLM_4_7 = ParserKind(Glm47Parser, has_tools=True, has_thinking=True, preserved=_TAGS)
GLM_OCR = ParserKind(GlmOcrParser, has_tools=True, has_thinking=False, preserved=_TAGS)
