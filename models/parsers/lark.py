"""Grammars in Lark as llguidance reads it, put together rule by rule.

Tags may be control tokens of the model, which only the runner knows; so they are named `tag_0`, `tag_1`, … (and
`until_tag_0` a text up to and including the tag), in the order in which the grammar names them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_WHITESPACE = r"( |\n{1,2}[ \t]{0,20})?"
"""As for answers in a format of their own."""


@dataclass(slots=True)
class Lark:
    """The rules so far. `tags`: texts that stand as rules of their own."""

    tags: tuple[str, ...]
    rules: dict[str, str] = field(default_factory=dict)

    def literal(self, text: str) -> str:
        """This text, tags in it by their rules."""
        if not self.tags:
            return json.dumps(text, ensure_ascii=False)
        parts = re.split("(" + "|".join(map(re.escape, self.tags)) + ")", text)
        return " ".join(
            f"tag_{self.tags.index(part)}" if part in self.tags else json.dumps(part, ensure_ascii=False)
            for part in parts
            if part
        )

    def until(self, tag: str) -> str:
        """Any text with this tag after it."""
        return f"until_tag_{self.tags.index(tag)}"

    def json(self, name: str, schema: Mapping[str, Any], *, is_one_line: bool = False) -> str:
        """A rule for JSON of this schema; its name."""
        options = {"whitespace_pattern": " ?" if is_one_line else _WHITESPACE, "lenient": True}
        self.rules[name] = "%json " + json.dumps({**schema, "x-guidance": options})
        return name

    def listed(self, values: Sequence[tuple[str, str]], required: Sequence[str], separator: str) -> str:
        """Values by their keys with a separator between them: those that are required, then any of the others."""
        between = json.dumps(separator)
        needed = [value for key, value in values if key in required]
        others = [value for key, value in values if key not in required]
        if needed:
            return f" {between} ".join(needed) + _following(others, between)
        begun = (value + _following(others[i:], between) for i, value in enumerate(others, start=1))
        return f"({' | '.join(begun)})?" if others else ""

    @staticmethod
    def either(names: Iterable[str]) -> str:
        return "(" + " | ".join(names) + ")"

    @property
    def text(self) -> str:
        return "\n".join(f"{name}: {rule}" for name, rule in self.rules.items())


def _following(values: Iterable[str], between: str) -> str:
    return "".join(f" ({between} {value})?" for value in values)


# ---- schemas -------------------------------------------------------------------------------------------------------


def object_schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the arguments; tools are declared loosely, so what is no schema is left out."""
    schema = _clean(parameters)
    properties = schema.get("properties")
    closed: dict[str, Any] = {"additionalProperties": False} if properties else {}
    known = [name for name in schema.get("required") or () if name in (properties or {})]
    return {**schema, "type": "object", "required": known, **closed}


def _clean(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        match key, value:
            case "type", str() if value not in _TYPES:
                continue
            case "type", list():
                kept[key] = [name for name in value if name in _TYPES] or sorted(_TYPES)
            case (("properties" | "$defs"), dict()):
                kept[key] = {name: _clean(inner) for name, inner in value.items() if isinstance(inner, dict)}
            case "items", dict():
                kept[key] = _clean(value)
            case "anyOf", list():
                kept[key] = [_clean(inner) for inner in value if isinstance(inner, dict)]
            case _, None:
                continue
            case _:
                kept[key] = value
    return kept
