"""Splits thoughts from a reply by two tags that were inferred from a Go template.

# Compat: prompting 5.3.
"""

from __future__ import annotations

from enum import Enum, auto

from models.parsers.text import ltrim, overlap


class _State(Enum):
    OPENING = auto()
    THINKING_BLANK = auto()
    THINKING = auto()
    DONE_BLANK = auto()
    DONE = auto()


class ThinkingParser:
    """Thoughts may only stand at the beginning; whitespace around the tags is dropped."""

    def __init__(self, opening: str, closing: str) -> None:
        self._opening, self._closing = opening, closing
        self._buffer = ""
        self._state = _State.OPENING

    def add(self, text: str) -> tuple[str, str]:
        """The thought and the content that are certain by now."""
        self._buffer += text
        thought = content = ""
        goes_on = True
        while goes_on:
            more_thought, more_content, goes_on = self._step()
            thought, content = thought + more_thought, content + more_content
        return thought, content

    def _step(self) -> tuple[str, str, bool]:
        match self._state:
            case _State.OPENING:
                return self._read_opening()
            case _State.THINKING_BLANK:
                self._buffer = ltrim(self._buffer)
                self._state = _State.THINKING if self._buffer else self._state
                return "", "", bool(self._buffer)
            case _State.THINKING:
                return self._read_thought()
            case _State.DONE_BLANK:
                self._buffer = ltrim(self._buffer)
                self._state = _State.DONE if self._buffer else self._state
                return "", self._taken(), False
            case _State.DONE:
                return "", self._taken(), False

    def _read_opening(self) -> tuple[str, str, bool]:
        text = ltrim(self._buffer)
        if text.startswith(self._opening):
            self._buffer = ltrim(text[len(self._opening) :])
            self._state = _State.THINKING if self._buffer else _State.THINKING_BLANK
            return "", "", bool(self._buffer)
        if self._opening.startswith(text):
            return "", "", False
        self._state = _State.DONE
        return "", self._taken(), False

    def _read_thought(self) -> tuple[str, str, bool]:
        thought, tag, rest = self._buffer.partition(self._closing)
        if tag:
            rest, self._buffer = ltrim(rest), ""
            self._state = _State.DONE if rest else _State.DONE_BLANK
            return thought, rest, False
        cut = len(self._buffer) - overlap(self._buffer, self._closing)
        thought, self._buffer = self._buffer[:cut], self._buffer[cut:]
        return thought, "", False

    def _taken(self) -> str:
        taken, self._buffer = self._buffer, ""
        return taken


def without_thoughts(text: str, opening: str = "<think>", closing: str = "</think>") -> str:
    """The content of a text that may begin with a thought; nothing, if the thought is never closed."""
    return ThinkingParser(opening, closing).add(text)[1]
