"""Replies of Cohere's Command models: a thought, then text or calls between tokens.

# Compat: prompting 6.17.
"""

from __future__ import annotations

from typing import Any, TypeVar

from models.parsers.balanced import objects_in
from models.parsers.json_values import decode_json, member
from models.parsers.machine import Machine
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import hold_overlap, ltrim

THINKING_END = "<|END_THINKING|>"
TEXT, RESPONSE, ACTION = "<|START_TEXT|>", "<|START_RESPONSE|>", "<|START_ACTION|>"
TEXT_END, RESPONSE_END, ACTION_END = "<|END_TEXT|>", "<|END_RESPONSE|>", "<|END_ACTION|>"
TURN_END = "<|END_OF_TURN_TOKEN|>"


class CohereParser(Machine):
    """Between blocks whatever is no block is content."""

    def __init__(self, expectations: Expectations) -> None:
        if expectations.continues_answer:
            super().__init__(self._read_content)
        else:
            thinks = expectations.thinks(unless_said=True)
            super().__init__(self._read_thought if thinks else self._find_block)

    def _read_thought(self) -> bool:
        return self._take_thought(THINKING_END) and self._go(self._find_block, self._buffer)

    def _find_block(self) -> bool:
        for tag, state in ((TEXT, self._read_content), (RESPONSE, self._read_content), (ACTION, self._read_calls)):
            _, found, rest = self._buffer.partition(tag)
            if found:
                return self._go(state, rest)
        text = ltrim(self._buffer)
        if text.startswith(TURN_END):
            return self._go(self._find_block, text.removeprefix(TURN_END))
        is_partial = any(tag.startswith(text) for tag in (TEXT, RESPONSE, ACTION, TURN_END))
        if not text or (is_partial and not self._done):
            return False
        return self._go(self._read_content, text)

    def _read_content(self) -> bool:
        for tag in (TEXT_END, RESPONSE_END, TURN_END):
            before, found, rest = self._buffer.partition(tag)
            if found:
                self._content.append(before)
                return self._go(self._find_block, rest)
        sent, self._buffer = hold_overlap(self._buffer, (TEXT_END, RESPONSE_END, TURN_END))
        self._content.append(sent + (self._take_all() if self._done else ""))
        return False

    def _read_calls(self) -> bool:
        block, tag, rest = self._buffer.partition(ACTION_END)
        if not tag and not self._done:
            return False
        for name, arguments, identity in _parse_calls(block):
            self._call(name, arguments, identity)
        return self._go(self._find_block, rest)


_T = TypeVar("_T", str, list[Any], dict[str, Any])
_Call = tuple[str, dict[str, Any], str]


def _parse_calls(text: str) -> list[_Call]:
    """All calls of a list; if it is malformed, those that are not."""
    try:
        values = decode_json(text)
        return [_parse_call(value) for value in _as(list, values)]
    except ValueError:
        return [call for part in objects_in(text) for call in _parse_object(part)]


def _parse_object(text: str) -> list[_Call]:
    try:
        return [_parse_call(decode_json(text))]
    except ValueError:
        return []


def _parse_call(value: Any) -> _Call:
    fields = _as(dict, value)
    name, identity = (_as(str, member(fields, key)) for key in ("tool_name", "tool_call_id"))
    return name, _as(dict, member(fields, "parameters")), identity


def _as(kind: type[_T], value: Any) -> _T:
    """The value if it is of this kind, an empty one for null. Raises: ValueError."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ValueError(value)
    return value


COHERE = ParserKind(
    CohereParser,
    has_tools=True,
    has_thinking=True,
    preserved=(
        *("<|START_THINKING|>", THINKING_END, TEXT, TEXT_END),
        *(ACTION, ACTION_END, RESPONSE, RESPONSE_END),
    ),
)
