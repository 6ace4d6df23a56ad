"""Replies of Glimmer: messages to itself (thoughts), to the user (content), and to tools (calls).

`atem.py`: the text of a call.
# Compat: prompting 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.parsers.atem import BLOCK, BLOCK_END, MalformedAtem, parse_atem
from models.parsers.errors import ParserError
from models.parsers.machine import Machine, State
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import overlap, trim
from models.parsers.typed_values import typed_value
from models.templates.schema import types_of
from registry.gojson import quote

START, MESSAGE = "<|start|>", "<|message|>"
MESSAGE_END, TURN_END = "<|eom|>", "<|eot|>"

_HEADER = START + "assistant"


class GlimmerParser(Machine):
    """A malformed call ends the reply; one that was sent to nobody is content unless it is perfect."""

    def __init__(self, expectations: Expectations) -> None:
        super().__init__(self._read_header)
        self._expectations = expectations
        self._shows_thoughts = expectations.thinks(unless_said=True)
        self._names = [tool["function"]["name"] for tool in expectations.tools]
        recipients = ("self", "user", *self._names, *(f"{name.partition('.')[0]}.{name}" for name in self._names))
        self._addresses = (MESSAGE, *(f" to={recipient}{MESSAGE}" for recipient in recipients))
        self._longest = max(map(len, self._addresses))
        self._recipient = ""

    # ---- headers ---------------------------------------------------------------------------------------------------

    def _read_header(self) -> bool:
        text = self._buffer.removeprefix(_HEADER)
        if not self._done and _HEADER.startswith(self._buffer):
            return False
        header, tag, rest = text.partition(MESSAGE)
        if tag:
            recipient = trim(trim(header).removeprefix("to="))
            return self._go(self._state_of(recipient), rest)
        if self._done:
            self._content.append(text)
            self._buffer = ""
        return False

    def _state_of(self, recipient: str) -> State:
        if recipient == "self":
            return self._read_thought
        self._recipient = self._resolved(recipient)
        if self._recipient:
            return self._read_call
        return self._read_possible_call if self._names else self._read_content

    def _resolved(self, name: str) -> str:
        """The declared tool of this name, or of this name without its namespace before it; empty for another."""
        if name in self._names:
            return name
        space, _, rest = name.partition(".")
        return rest if rest in self._names and rest.partition(".")[0] == space else ""

    # ---- texts -----------------------------------------------------------------------------------------------------

    def _read_thought(self) -> bool:
        return self._read_text(self._thinking.append if self._shows_thoughts else lambda _: None)

    def _read_content(self) -> bool:
        return self._read_text(self._content.append)

    def _read_text(self, tell: Callable[[str], None]) -> bool:
        size, rest = self._find_end()
        tell(self._buffer[:size])
        self._buffer = self._buffer[size if rest is None else rest :]
        return rest is not None and self._go(self._read_header, self._buffer)

    def _find_end(self, start: int = 0) -> tuple[int, int | None]:
        """Size of what is certainly text, and where the next message begins; None while this one goes on.

        `start`: nothing before it is taken for an end.
        """
        text = self._buffer
        at = text.find("<|", start)
        while at >= 0:
            for tag in (MESSAGE_END, TURN_END):
                if text.startswith(tag, at):
                    return at, at + len(tag)
            if text.startswith(_HEADER, at):
                # A message may begin without the end of the one before it.
                after = at + len(_HEADER)
                if text.startswith(self._addresses, after):
                    return at, at
                rest = text[after : after + self._longest]
                if not self._done and any(address.startswith(rest) for address in self._addresses):
                    return at, None
            at = text.find("<|", at + 1)
        if self._done:
            return len(text), len(text)
        return len(text) - max(overlap(text, tag) for tag in (MESSAGE_END, TURN_END, _HEADER)), None

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _read_call(self) -> bool:
        block = self._take_block()
        if block is None:
            return False
        try:
            name, tool, arguments = self._parse_call(block)
        except MalformedAtem as error:
            raise ParserError(f"parse Glimmer call to {self._recipient}: {error}") from error
        if tool != self._recipient:
            raise ParserError(f"Glimmer recipient {quote(self._recipient)} does not match ATEM invoke {quote(name)}")
        self._call(tool, arguments)
        return self._go(self._read_header, self._buffer)

    def _read_possible_call(self) -> bool:
        """Content that begins like a call waits until it is known whether it is one."""
        if not self._buffer.startswith(BLOCK):
            is_open = BLOCK.startswith(self._buffer) and not self._done
            return not is_open and self._go(self._read_content, self._buffer)
        block = self._take_block()
        if block is None:
            return False
        try:
            _, tool, arguments = self._parse_call(block)
            self._call(tool, arguments)
        except (MalformedAtem, ParserError):
            self._content.append(block)
        return self._go(self._read_header, self._buffer)

    def _take_block(self) -> str | None:
        """The text of this message, if it is complete; within a call nothing ends it."""
        end = self._buffer.find(BLOCK_END)
        if end < 0 and not self._done:
            return None
        size, rest = self._find_end(len(self._buffer) if end < 0 else end + len(BLOCK_END))
        if rest is None:
            return None
        block, self._buffer = self._buffer[:size], self._buffer[rest:]
        return block

    def _parse_call(self, block: str) -> tuple[str, str, dict[str, Any]]:
        """The name as it stands there, the tool, the arguments. Raises: MalformedAtem, ParserError."""
        name, parameters = parse_atem(block)
        if not name:
            raise ParserError("empty Glimmer function name")
        tool = self._resolved(name)
        if not tool:
            raise ParserError(f"undeclared Glimmer function {quote(name)}")
        types = {key: types_of(self._expectations.parameter(tool, key)) for key, _ in parameters}
        arguments = {key: typed_value(value, types[key], trims_newlines=False) for key, value in parameters}
        return name, tool, arguments


GLIMMER = ParserKind(
    GlimmerParser, has_tools=True, has_thinking=True, preserved=(START, MESSAGE, MESSAGE_END, TURN_END)
)
