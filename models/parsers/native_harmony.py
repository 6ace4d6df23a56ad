"""Replies of gpt-oss to a prompt of its own chat template: messages in channels, calls told at the end."""

from __future__ import annotations

import logging
from enum import Enum, auto

from models.parsers.call_blocks import Incomplete, Malformed, random_id, unfinished_arguments
from models.parsers.events import Delta, ToolCall
from models.parsers.harmony import CHANNEL, MESSAGE, START, Edge, HarmonyFraming, Header
from models.parsers.json_blocks import read_json, skip_blanks
from models.parsers.steps import Expectations

ANSWER = f"{CHANNEL}final{MESSAGE}"
"""The header of a message that is the answer."""

_log = logging.getLogger(__name__)


class _Kind(Enum):
    CONTENT = auto()
    THOUGHT = auto()
    CALL = auto()


class NativeHarmonyParser:
    """`primer`: what of the first message the prompt holds. Messages to what is no declared tool are content."""

    def __init__(self, expectations: Expectations, primer: str = "") -> None:
        self._framing = HarmonyFraming()
        self._expectations = expectations
        self._kind = _Kind.CONTENT
        self._name = ""
        self._arguments: list[str] = []
        self._calls: list[ToolCall] = []
        self.feed(primer or f"{START}assistant")

    def feed(self, text: str) -> list[Delta]:
        """Everything that is certain by now."""
        deltas = []
        for event in self._framing.feed(text):
            match event:
                case Header():
                    deltas.append(self._end_call(is_last=False))
                    self._enter(event)
                case str() if self._kind is _Kind.CALL:
                    self._arguments.append(event)
                case str() if self._kind is _Kind.THOUGHT:
                    deltas.append(Delta(thinking=event))
                case str():
                    deltas.append(Delta(event))
                case Edge():
                    pass
        return [delta for delta in deltas if delta]

    def finish(self) -> list[Delta]:
        """The calls. Raises: ParserError for a reply that was cut off inside a call."""
        rest = self._end_call(is_last=True)
        delta = Delta(rest.content, tool_calls=tuple(self._calls))
        return [delta] if delta else []

    def _enter(self, header: Header) -> None:
        name = header.recipient.removeprefix("functions.")
        if name and self._expectations.tool(name) is not None:
            self._kind, self._name = _Kind.CALL, name
        else:
            self._kind = _Kind.THOUGHT if header.channel == "analysis" else _Kind.CONTENT

    def _end_call(self, *, is_last: bool) -> Delta:
        """Add the call that has come to its end; the text of what is none."""
        if self._kind is not _Kind.CALL:
            return Delta()
        text, self._kind = "".join(self._arguments), _Kind.CONTENT
        self._arguments.clear()
        try:
            arguments = self._read(text) if text.strip() else {}
        except Incomplete:
            if not is_last:
                return Delta(text)
            raise unfinished_arguments(self._name) from None
        except Malformed:
            _log.info("text in the place of a tool call is kept as content")
            return Delta(text)
        self._calls.append(ToolCall(self._name, arguments, len(self._calls), random_id()))
        return Delta()

    def _read(self, text: str) -> dict[str, object]:
        value, end = read_json(text, skip_blanks(text, 0))
        if not isinstance(value, dict) or text[end:].strip():
            raise Malformed
        return value
