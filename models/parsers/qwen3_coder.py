"""Replies of Qwen3-Coder, and of the models that think first and then call in its way.

# Compat: prompting 6.1, 6.4, 6.9. Text that is held back when the reply ends is lost, as in the original.
"""

from __future__ import annotations

from models.parsers.machine import Machine, ends_within, find_first
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import ltrim, rtrim
from models.parsers.typed_values import typed_value
from models.parsers.xml_calls import parse_xml_call
from models.templates.schema import types_of

CALL, CALL_END = "<tool_call>", "</tool_call>"
THINK, THINK_END = "<think>", "</think>"


class Qwen3CoderParser(Machine):
    """Content and calls in XML."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(self._read_content)
        self._expectations = expectations

    def _read_content(self) -> bool:
        before, tag, rest = self._buffer.partition(CALL)
        if not tag:
            return self._flow(self._content.append, CALL)
        self._content.append(rtrim(before))
        return self._go(self._read_call, rest)

    def _read_call(self) -> bool:
        body, tag, rest = self._buffer.partition(CALL_END)
        if not tag:
            return False
        name, texts = parse_xml_call(body)
        parameter = self._expectations.parameter
        self._call(name, {key: typed_value(text, types_of(parameter(name, key))) for key, text in texts.items()})
        return self._go(self._read_content, ltrim(rest))


class Qwen35Parser(Qwen3CoderParser):
    """Qwen3.5, Ornith and Qwen3.8: thoughts first, unless the prompt has begun the answer."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(expectations)
        if expectations.thinks(unless_said=True) and not expectations.continues_answer:
            self._state = self._read_opening

    def _read_opening(self) -> bool:
        return self._go_past_opening(THINK, self._read_thought)

    def _read_thought(self) -> bool:
        before, tag, rest = self._buffer.partition(THINK_END)
        if tag:
            self._thinking.append(rtrim(before))
            return self._go_past_spaces(self._read_content, rest)
        # Compat: prompting 6.4: what may become a tag comes first, so a call before it passes as a thought.
        before, tag, rest = self._buffer.partition(CALL)
        if ends_within(self._buffer, THINK_END, CALL) or not tag:
            return self._flow(self._thinking.append, THINK_END, CALL)
        self._thinking.append(rtrim(before))
        return self._go(self._read_content, CALL + ltrim(rest))


class NemotronParser(Qwen35Parser):
    """Nemotron: a call ends the thoughts as `</think>` does."""

    def _read_thought(self) -> bool:
        before, tag, rest = find_first(self._buffer, THINK_END, CALL)
        if not tag:
            return self._flow(self._thinking.append, THINK_END, CALL)
        self._thinking.append(rtrim(before))
        if tag == CALL:
            return self._go(self._read_content, CALL + rest)
        return self._go_past_spaces(self._read_content, rest)


_TAGS = (THINK, THINK_END, CALL, CALL_END)

QWEN3_CODER = ParserKind(Qwen3CoderParser, has_tools=True, has_thinking=False, preserved=(CALL, CALL_END))
QWEN3_5 = ParserKind(Qwen35Parser, has_tools=True, has_thinking=True, preserved=_TAGS)
NEMOTRON = ParserKind(NemotronParser, has_tools=True, has_thinking=True, preserved=_TAGS)
