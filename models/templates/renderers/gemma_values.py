"""Values as the Gemma families write them: sorted bare keys, and quotes that are a token of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.templates.go_json import plain

_LARGEST_INT = 2.0**63


@dataclass(frozen=True, slots=True)
class Quotes:
    """What stands on both sides of a string, and what stands for null."""

    mark: str
    null: str

    def string(self, text: str) -> str:
        """A quoted string."""
        return f"{self.mark}{text}{self.mark}"

    def strings(self, texts: Iterable[str]) -> str:
        """A list of quoted strings."""
        return "[" + ",".join(map(self.string, texts)) + "]"

    def value(self, value: Any, *, quotes_keys: bool = False) -> str:
        """Any value; maps are sorted."""
        match value:
            case None:
                return self.null
            case str():
                return self.string(value)
            case bool():
                return plain(value)
            case int() | float():
                number = float(value)
                is_whole = abs(number) < _LARGEST_INT and number == int(number)
                return str(int(number)) if is_whole else plain(number)
            case list():
                return "[" + ",".join(self.value(item, quotes_keys=quotes_keys) for item in value) + "]"
            case _:
                return "{" + self._members(value, quotes_keys=quotes_keys) + "}"

    def arguments(self, arguments: Mapping[str, Any] | None) -> str:
        """The arguments of a call, sorted, in braces."""
        return "{" + self._members(arguments or {}, quotes_keys=False) + "}"

    def _members(self, members: Mapping[str, Any], *, quotes_keys: bool) -> str:
        return ",".join(
            f"{self.string(key) if quotes_keys else key}:{self.value(members[key], quotes_keys=quotes_keys)}"
            for key in sorted(members)
        )
