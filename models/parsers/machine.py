"""A machine whose states are its methods, for formats with many of them."""

from __future__ import annotations

from collections.abc import Callable

from models.parsers.state_machine import StateMachine
from models.parsers.text import hold_tags, ltrim, overlap

State = Callable[[], bool]
"""Reads from the buffer, tells, may set another state; whether another look at the buffer is worth while."""


class Machine(StateMachine):
    """A subclass says which state is the first. `_done`: this is the last run."""

    def __init__(self, first: State) -> None:
        super().__init__()
        self._state = first
        self._done = False

    def _advance(self, done: bool) -> bool:
        self._done = done
        return self._state()

    def _go(self, state: State, rest: str) -> bool:
        """Continue in a state, with this text."""
        self._state, self._buffer = state, rest
        return True

    def _go_past_spaces(self, state: State, rest: str) -> bool:
        """The same, without whitespace at the beginning of the text, however late it comes."""

        def skip() -> bool:
            self._buffer = ltrim(self._buffer)
            return bool(self._buffer) and self._go(state, self._buffer)

        return self._go(skip, rest)

    def _go_past_opening(self, tag: str, state: State) -> bool:
        """The same for the text in the buffer, also without a tag at its beginning, however it is cut."""
        text = ltrim(self._buffer)
        if text.startswith(tag):
            return self._go_past_spaces(state, text.removeprefix(tag))
        return not tag.startswith(text) and self._go(state, self._buffer)

    def _flow(self, emit: Callable[[str], None], *tags: str) -> bool:
        """Tell what can become neither one of the tags nor the whitespace before it; wait for more."""
        sent, self._buffer = hold_tags(self._buffer, tags)
        emit(sent)
        return False


def find_first(text: str, *tags: str) -> tuple[str, str, str]:
    """`partition` at whichever of the tags comes first."""
    found = [(place, tag) for tag in tags if (place := text.find(tag)) >= 0]
    if not found:
        return text, "", ""
    place, tag = min(found)
    return text[:place], tag, text[place + len(tag) :]


def ends_within(text: str, *tags: str) -> bool:
    """Whether the text ends with the beginning of a tag, perhaps all of it."""
    return any(overlap(text, tag) for tag in tags)
