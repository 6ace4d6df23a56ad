"""A parser as a machine of states that reads from a buffer until it gets no further."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from models.parsers.events import ToolCall
from models.parsers.steps import Step
from models.parsers.text import hold_tags, ltrim, rtrim


class StateMachine(ABC):
    """What the states share: the text that is not read yet, and what this run has brought so far."""

    def __init__(self) -> None:
        self._buffer = ""
        self._n_calls = 0
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[ToolCall] = []

    def add(self, text: str, done: bool) -> Step:
        """Read a run; `done`: it is the last. Raises: ParserError, which ends the reply."""
        self._buffer += text
        while self._advance(done):
            pass
        step = Step("".join(self._content), "".join(self._thinking), tuple(self._calls))
        self._content.clear()
        self._thinking.clear()
        self._calls.clear()
        return step

    @abstractmethod
    def _advance(self, done: bool) -> bool:
        """Read what the current state can from the buffer; whether there is more to read."""

    def _take_all(self) -> str:
        text, self._buffer = self._buffer, ""
        return text

    def _take_thought(self, closing: str) -> bool:
        """Tell what is certainly thought; whether its end was found, after which the buffer begins without blanks."""
        thought, tag, rest = self._buffer.partition(closing)
        if tag:
            self._thinking.append(rtrim(thought))
            self._buffer = ltrim(rest)
            return True
        sent, self._buffer = hold_tags(thought, (closing,))
        self._thinking.append(sent)
        return False

    def _call(self, name: str, arguments: dict[str, Any], identity: str = "") -> None:
        """Tell a call, numbered within the reply."""
        self._calls.append(ToolCall(name, arguments, self._n_calls, identity))
        self._n_calls += 1
