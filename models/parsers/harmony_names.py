"""Names of tools as harmony can say them.

# Compat: prompting 6.20.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain, count

from models.templates.chat import Tool

_BUILT_IN = frozenset(("browser.open", "browser.search", "browser.find", "python"))


class HarmonyNames:
    """The tools of a request, by the names that the model is told."""

    def __init__(self, names: Iterable[str]) -> None:
        """A nameless tool stays nameless."""
        self._originals: dict[str, str] = {}
        self.converted = tuple(self._add(name) if name else "" for name in names)

    def original(self, name: str) -> str:
        """The name of the request; a name that is not known stays as it is."""
        return self._originals.get(name, name)

    def renamed(self, tools: Sequence[Tool]) -> list[Tool]:
        """The same tools under the names that the model is told."""
        return [
            {**tool, "function": {**tool["function"], "name": name}}
            for tool, name in zip(tools, self.converted, strict=True)
        ]

    def _add(self, original: str) -> str:
        base = _identifier(original)
        candidates = chain((base,), (f"{base}_{n}" for n in count(2)))
        name = original if original in _BUILT_IN else next(c for c in candidates if c not in self._originals)
        self._originals[name] = original
        return name


def _identifier(name: str) -> str:
    characters = ("_" if c in " -." else c for c in name if c in " -._$" or _is_word(c))
    identifier = "".join(characters) or "unnamed"
    return f"_{identifier}" if identifier[0].isascii() and identifier[0].isdigit() else identifier


def _is_word(character: str) -> bool:
    """A letter or a decimal digit of any script."""
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nd"
