"""The lines typed at the prompt, kept from one conversation to the next."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 100


class LineHistory:
    """The last lines, oldest first, in the file that Ollama uses: one a line, rewritten as a whole, for the user only.

    A file that cannot be read or written is done without. # Compat: registry-store-cli 7.10 (readline/history.go).
    """

    def __init__(self, path: Path, *, enabled: bool = True) -> None:
        self.enabled = enabled
        """Whether new lines are written to the file."""
        self._path = path
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            text = ""
        self._lines = [line.strip() for line in text.split("\n") if line.strip()][-LIMIT:]

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Remember a line; one of several lines becomes one."""
        self._lines = [*self._lines, " ".join(line.split("\n"))][-LIMIT:]
        if self.enabled:
            self._save()

    def _save(self) -> None:
        beside = self._path.with_name(f"{self._path.name}.tmp")
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with os.fdopen(
                os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.writelines(f"{line}\n" for line in self._lines)
            beside.replace(self._path)
        except OSError:
            self.enabled = False
