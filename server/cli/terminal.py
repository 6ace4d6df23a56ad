"""The three streams of a command, and what is known of the terminal behind them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

from server.cli.environment import Environment

DEFAULT_COLUMNS = 80
DEFAULT_ROWS = 24

GREY = "\x1b[38;5;245m"
BOLD = "\x1b[1m"
RESET = "\x1b[0m"
BRACKETED_PASTE_ON = "\x1b[?2004h"
BRACKETED_PASTE_OFF = "\x1b[?2004l"


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes, where it reads what is typed, and what its surroundings ask of it."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environment: Environment

    def write(self, text: str) -> None:
        """To standard output, visible at once."""
        self.stdout.write(text)
        self.stdout.flush()

    def complain(self, text: str) -> None:
        """To standard error: messages, warnings, progress."""
        self.stderr.write(text)
        self.stderr.flush()

    def read_all(self) -> str:
        """Everything on standard input; bytes that are no UTF-8 become U+FFFD."""
        raw = getattr(self.stdin, "buffer", None)
        return self.stdin.read() if raw is None else raw.read().decode("utf-8", "replace")

    @property
    def is_typed_into(self) -> bool:
        """Whether a person types on standard input."""
        return self.stdin.isatty()

    @property
    def is_read_by_person(self) -> bool:
        """Whether standard output is a terminal."""
        return self.stdout.isatty()

    @property
    def is_interactive(self) -> bool:
        return self.is_typed_into and self.is_read_by_person

    def size(self, stream: TextIO) -> os.terminal_size:
        """Columns and rows of the terminal that the stream writes to; 80 by 24 when there is none."""
        try:
            columns, rows = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        return os.terminal_size((columns or DEFAULT_COLUMNS, rows or DEFAULT_ROWS))

    @property
    def columns(self) -> int:
        """Of standard output."""
        return self.size(self.stdout).columns
