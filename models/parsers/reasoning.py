"""Splits the thoughts at the beginning of a reply from the rest, by the tags that a chat template uses."""

from __future__ import annotations

from enum import Enum, auto

from models.parsers.syntax import ReasoningTags
from models.parsers.text import overlap

_BLANKS = " \n\r\t\v\f"


class _State(Enum):
    OPENING = auto()
    THINKING = auto()
    BLANKS = auto()
    """Whitespace that belongs to a tag just read, still to be dropped."""
    DONE = auto()


class ReasoningSplit:
    """Feeds on a reply; tells what of it is thought and what is not.

    # Compat: llama.cpp, the reasoning part of its automatic chat parser (common/chat-auto-parser-generator.cpp).
    """

    def __init__(self, tags: ReasoningTags) -> None:
        self._open, self._close = tags.start.strip(_BLANKS), tags.end.strip(_BLANKS)
        self._after_open = tags.start[len(tags.start.rstrip(_BLANKS)) :]
        self._after_close = tags.end[len(tags.end.rstrip(_BLANKS)) :]
        self._buffer = ""
        self._blanks = ""
        self._thought_is_blank = True
        self._after_blanks = _State.THINKING
        self._state = _State.OPENING

    def feed(self, text: str) -> tuple[str, str]:
        """The thought and the other text that are certain by now."""
        if self._state is _State.DONE:
            return "", text
        self._buffer += text
        thought = ""
        while True:
            before = self._state
            thought += self._step()
            if self._state is before:
                return thought, self._rest()

    def finish(self) -> tuple[str, str]:
        """What was held back."""
        state, held, self._buffer = self._state, self._buffer, ""
        if state is _State.THINKING:
            return ("" if self._thought_is_blank and not held.strip(_BLANKS) else held), ""
        return "", held

    def _step(self) -> str:
        match self._state:
            case _State.OPENING:
                self._read_opening()
            case _State.THINKING:
                return self._read_thought()
            case _State.BLANKS:
                self._drop_blanks()
            case _State.DONE:
                pass
        return ""

    def _read_opening(self) -> None:
        self._buffer = self._buffer.lstrip(_BLANKS)
        if not self._buffer:
            return
        if self._buffer.startswith(self._open):
            self._buffer = self._buffer[len(self._open) :]
            self._expect_blanks(self._after_open, _State.THINKING)
        elif not self._open.startswith(self._buffer):
            self._state = _State.DONE

    def _read_thought(self) -> str:
        text, tag, rest = self._buffer.partition(self._close)
        if tag:
            self._buffer = rest
            self._expect_blanks(self._after_close, _State.DONE)
        else:
            cut = len(text) - overlap(text, self._close)
            text, self._buffer = text[:cut], text[cut:]
        if self._thought_is_blank and not text.strip(_BLANKS):
            # A thought of nothing but whitespace is none; it is told once something else follows.
            self._buffer = self._buffer if tag else text + self._buffer
            return ""
        self._thought_is_blank = False
        return text

    def _expect_blanks(self, blanks: str, then: _State) -> None:
        self._blanks, self._after_blanks, self._state = blanks, then, _State.BLANKS

    def _drop_blanks(self) -> None:
        while self._blanks and self._buffer:
            if self._buffer[0] == self._blanks[0]:
                self._buffer = self._buffer[1:]
            self._blanks = self._blanks[1:]
        if not self._blanks:
            self._state = self._after_blanks

    def _rest(self) -> str:
        if self._state is not _State.DONE:
            return ""
        rest, self._buffer = self._buffer, ""
        return rest
