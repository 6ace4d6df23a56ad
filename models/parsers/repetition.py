"""The guard against a model that says the same thing for ever."""

from __future__ import annotations

from models.parsers.text import trim

MAX_EQUAL = 30


class RepetitionGuard:
    """Counts equal neighbours among the chunks of a reply (prompting.md 9.3)."""

    def __init__(self) -> None:
        self._last = ""
        self._n_equal = 0

    def is_stuck(self, chunk: str) -> bool:
        """Whether this chunk is one too many; it is then not sent, and the reply is abandoned."""
        text = trim(chunk)
        self._n_equal = self._n_equal + 1 if text == self._last else 0
        self._last = text
        return self._n_equal > MAX_EQUAL
