"""From typed lines to messages: text between triple quotes may span lines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

QUOTES = '"""'


class Purpose(Enum):
    """What finished text is for."""

    MESSAGE = auto()
    SYSTEM = auto()
    COMMAND = auto()


@dataclass(frozen=True, slots=True)
class Composed:
    """A complete input."""

    purpose: Purpose
    text: str


class Composer:
    """Collects lines until an input is complete.

    # Compat: registry-store-cli 7.10 (cmd/interactive.go): quotes open at the start of a line or of the text of
    `/set system`, and close at the end of a line.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._purpose = Purpose.MESSAGE

    @property
    def is_open(self) -> bool:
        """Whether a text between quotes has begun, so that the next line belongs to it."""
        return bool(self._parts)

    def feed(self, line: str) -> Composed | None:
        """The input that this line completes, None while more is needed."""
        if self.is_open:
            return self._continue(line)
        if line.startswith(QUOTES):
            return self._open(Purpose.MESSAGE, line.removeprefix(QUOTES))
        words = line.split()
        if words[:2] == ["/set", "system"] and len(words) > 2:
            text = " ".join(words[2:])
            if text.startswith(QUOTES):
                return self._open(Purpose.SYSTEM, text.removeprefix(QUOTES))
            return Composed(Purpose.SYSTEM, text)
        return Composed(Purpose.COMMAND if line.startswith("/") else Purpose.MESSAGE, line)

    def reset(self) -> None:
        """Forget what was begun."""
        self._parts = []

    def _open(self, purpose: Purpose, text: str) -> Composed | None:
        if text.endswith(QUOTES):
            return Composed(purpose, text.removesuffix(QUOTES))
        self._purpose, self._parts = purpose, [text]
        return None

    def _continue(self, line: str) -> Composed | None:
        self._parts.append(line.removesuffix(QUOTES))
        if not line.endswith(QUOTES):
            return None
        composed = Composed(self._purpose, "\n".join(self._parts))
        self.reset()
        return composed
