"""Drops tags that some models put around their answer."""

from __future__ import annotations

import re

from models.parsers.text import hold_overlap


class WithoutTags:
    """The text without these tags, wherever they stand."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._any = re.compile("|".join(map(re.escape, tags)))
        self._held = ""

    def feed(self, text: str) -> str:
        """What is certain by now."""
        *whole, rest = self._any.split(self._held + text)
        sent, self._held = hold_overlap(rest, self._tags)
        return "".join((*whole, sent))

    def finish(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held
