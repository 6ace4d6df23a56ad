"""Replies of gpt-oss in the harmony format: messages with a header, each in a channel.

`harmony_names.py`: the names under which it knows tools.
# Compat: prompting 6.20.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from models.parsers.errors import ParserError
from models.parsers.events import ToolCall
from models.parsers.harmony_names import HarmonyNames
from models.parsers.json_values import decode_json
from models.parsers.steps import Expectations, ParserKind, Step
from models.parsers.text import SPACES, hold_overlap

START, MESSAGE, END = "<|start|>", "<|message|>", "<|end|>"
CHANNEL, CONSTRAIN = "<|channel|>", "<|constrain|>"

_SPACES = re.compile(f"[{SPACES}]+")


class Edge(Enum):
    """Where a message begins and ends."""

    START = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Header:
    """Who speaks, in which channel, to whom; empty for what is not said."""

    role: str
    channel: str = ""
    recipient: str = ""

    @classmethod
    def parse(cls, text: str) -> Header:
        """A header as the model writes it; it never fails."""
        text = text.replace(CONSTRAIN, f" {CONSTRAIN}", 1)
        before, _, after = text.partition(CHANNEL)
        channel = _SPACES.split(after, maxsplit=1)[0]
        role, *more = [*filter(None, _SPACES.split(before + after[len(channel) :])), ""]
        recipient = role.removeprefix("to=") if role.startswith("to=") else ""
        if more and more[0].startswith("to="):
            recipient = more[0].removeprefix("to=")
        return cls("tool" if role.startswith("to=") else role, channel, recipient)


Event = Edge | Header | str
"""A `str` is a part of a message's text."""


class HarmonyFraming:
    """Cuts a reply into messages. What stands between them is dropped."""

    def __init__(self, begun: str = "") -> None:
        """`begun`: what of the first message the prompt holds already."""
        self._buffer = begun
        self._read = self._read_start
        self._events: list[Event] = []

    def feed(self, text: str) -> list[Event]:
        """Everything that is certain by now."""
        self._buffer += text
        while self._read():
            pass
        events, self._events = self._events, []
        return events

    def _read_start(self) -> bool:
        before, tag, rest = self._buffer.partition(START)
        if not tag:
            _, self._buffer = hold_overlap(before, (START,))
            return False
        return self._tell(Edge.START, rest, self._read_header)

    def _read_header(self) -> bool:
        header, tag, rest = self._buffer.partition(MESSAGE)
        return bool(tag) and self._tell(Header.parse(header), rest, self._read_text)

    def _read_text(self) -> bool:
        text, tag, rest = self._buffer.partition(END)
        if not tag:
            text, rest = hold_overlap(text, (END,))
        if text:
            self._tell(text, rest, self._read_text)
        return bool(tag) and self._tell(Edge.END, rest, self._read_start)

    def _tell(self, event: Event, rest: str, then: Callable[[], bool]) -> bool:
        self._events.append(event)
        self._buffer, self._read = rest, then
        return True


class _Kind(Enum):
    """What the text of a message is."""

    CONTENT = auto()
    THOUGHT = auto()
    ARGUMENTS = auto()


class HarmonyParser:
    """At most one call in a reply; it is told at the end."""

    def __init__(self, expectations: Expectations) -> None:
        self._framing = HarmonyFraming(begun_message(expectations))
        self._names = HarmonyNames(tool["function"]["name"] for tool in expectations.tools)
        self._kind = _Kind.CONTENT
        self._recipient = ""
        self._arguments: list[str] = []

    def add(self, text: str, done: bool) -> Step:
        """Read a run. Raises: ParserError for arguments that are no JSON object."""
        told: dict[_Kind, list[str]] = {_Kind.CONTENT: [], _Kind.THOUGHT: [], _Kind.ARGUMENTS: self._arguments}
        for event in self._framing.feed(text):
            match event:
                case Header():
                    self._enter(event)
                case str():
                    told[self._kind].append(event)
                case Edge.END:
                    self._kind = _Kind.CONTENT
                case Edge.START:
                    pass
        calls = (self._call(),) if done and self._recipient else ()
        return Step("".join(told[_Kind.CONTENT]), "".join(told[_Kind.THOUGHT]), calls)

    def _enter(self, header: Header) -> None:
        if header.channel in ("analysis", "commentary") and header.recipient:
            self._kind, self._recipient = _Kind.ARGUMENTS, header.recipient
        else:
            self._kind = _KINDS.get(header.channel, self._kind)

    def _call(self) -> ToolCall:
        raw = "".join(self._arguments)
        try:
            arguments = decode_json(raw)
            reason = "not an object"
        except ValueError as error:
            arguments, reason = None, str(error)
        if not isinstance(arguments, dict):
            raise ParserError(f"error parsing tool call: raw='{raw}', err={reason}")
        return ToolCall(self._names.original(self._recipient.removeprefix("functions.")), arguments)


_KINDS = {"analysis": _Kind.THOUGHT, "commentary": _Kind.CONTENT, "final": _Kind.CONTENT}


def begun_message(expectations: Expectations) -> str:
    """What of the first message the prompt holds already."""
    last = expectations.last_message
    if expectations.continues_answer:
        return f"{START}assistant{CHANNEL}final{MESSAGE}"
    if last is not None and last.role == "assistant" and last.thinking:
        return f"{START}assistant{CHANNEL}analysis{MESSAGE}"
    return f"{START}assistant"


HARMONY = ParserKind(
    HarmonyParser, has_tools=True, has_thinking=True, preserved=(START, END, MESSAGE, CHANNEL, CONSTRAIN)
)
