"""Replies of Ministral: content, thoughts and calls, each behind a token of its own.

# Compat: prompting 6.19.
"""

from __future__ import annotations

from models.parsers.balanced import balanced_end
from models.parsers.call_blocks import JsonWatch
from models.parsers.errors import ParserError
from models.parsers.json_values import decode_object
from models.parsers.machine import Machine
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import hold_overlap, ltrim, rtrim

CALL, ARGUMENTS = "[TOOL_CALLS]", "[ARGS]"
THINK, THINK_END = "[THINK]", "[/THINK]"


class MinistralParser(Machine):
    """A call of an undeclared tool, or with arguments that are no object, ends the reply.

    `is_thinking_model`: the reply begins with a thought; # Compat: no registered name asks for that.
    """

    def __init__(self, expectations: Expectations, *, is_thinking_model: bool = False) -> None:
        thinks = is_thinking_model and not expectations.continues_answer
        super().__init__(self._read_thought if thinks else self._read_content)
        self._expectations = expectations
        self._name = ""
        self._watch, self._n_watched = JsonWatch(""), 0

    def _read_content(self) -> bool:
        for tag, state in ((CALL, self._read_name), (THINK, self._read_thought)):
            before, found, rest = self._buffer.partition(tag)
            if found:
                self._content.append(rtrim(before))
                return self._go(state, rest)
        return self._flow(self._content.append, CALL, THINK)

    def _read_thought(self) -> bool:
        thought, tag, rest = self._buffer.partition(THINK_END)
        if tag:
            self._thinking.append(thought)
            return self._go(self._read_content, ltrim(rest))
        sent, self._buffer = hold_overlap(thought, (THINK_END,))
        self._thinking.append(sent)
        return False

    def _read_name(self) -> bool:
        name, tag, rest = self._buffer.partition(ARGUMENTS)
        if not tag:
            return False
        if self._expectations.tool(name) is None:
            raise ParserError(f"tool '{name}' not found")
        self._name = name
        self._watch, self._n_watched = JsonWatch(""), 0
        return self._go(self._read_arguments, rest)

    def _read_arguments(self) -> bool:
        piece, self._n_watched = self._buffer[self._n_watched :], len(self._buffer)
        size = balanced_end(self._buffer) if self._watch.sees(piece) else None
        if size is None:
            return False
        arguments = decode_object(self._buffer[:size])
        if arguments is None:
            raise ParserError(f"invalid arguments of tool '{self._name}'")
        self._call(self._name, arguments)
        return self._go(self._read_content, self._buffer[size:])


MINISTRAL = ParserKind(
    MinistralParser, has_tools=True, has_thinking=False, preserved=(CALL, THINK, THINK_END, ARGUMENTS)
)
