"""Word wrap for text that arrives in pieces and is shown at once."""

from __future__ import annotations

from server.cli.formats import display_width

_MARGIN = 5
_NARROWEST = 10


class WordWrapper:
    """Turns generated text into what is written to a terminal of so many columns.

    A word that crosses the margin is taken back with control sequences and begun anew on the next line.
    # Compat: registry-store-cli 7.9 (cmd/cmd.go displayResponse). A word too long for a line is broken where the line
    ends; Ollama prints such a word twice.
    """

    def __init__(self, columns: int) -> None:
        self._limit = columns - _MARGIN
        self._wraps = columns >= _NARROWEST
        self._column = 0
        self._word = ""

    def feed(self, text: str) -> str:
        """What to write for the next piece of text."""
        return "".join(map(self._place, text)) if self._wraps else text

    def _place(self, character: str) -> str:
        if self._column + 1 <= self._limit:
            return self._append(character)
        if display_width(self._word) > self._limit - _MARGIN:
            self._word, self._column = "", 0
            return character
        return self._start_line(character)

    def _append(self, character: str) -> str:
        width = display_width(character)
        self._column += width
        if character in "\n\r":
            self._column, self._word = 0, ""
        elif width >= 2 or character in " \t":
            self._word = ""
        else:
            self._word += character
        return character

    def _start_line(self, character: str) -> str:
        """Move the word begun on this line, if any, to the next one."""
        width = display_width(self._word)
        self._column = width + display_width(character)
        back = f"\x1b[{width}D" if width else ""
        return f"{back}\x1b[K\n{self._word}{character}"
