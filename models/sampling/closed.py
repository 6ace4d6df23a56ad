"""Objects of a JSON schema have the properties that it names, and no others, unless it says that they may.

JSON Schema has it the other way round, but no one who asks a model for `{"free": boolean}` wants whatever else the
model can think of, and small models never stop thinking of something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "prefixItems", "items")
_SINGLE = ("items", "additionalProperties", "additionalItems", "contains", "then", "else")


def close_objects(schema: Any) -> Any:
    """A schema in which `additionalProperties` is false for objects that name properties and do not say.

    The parts of an `allOf` describe one object together, so they stay open, named ones too. Raises: RecursionError.
    Compat: llama.cpp's conversion of schemas to grammars.
    """
    return _Closing(frozenset(_parts_by_name(schema))).close(schema)


def _parts_by_name(value: Any) -> Iterator[str]:
    """The `$ref`s that stand in an `allOf`."""
    if isinstance(value, dict):
        parts = value.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                yield part["$ref"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts_by_name(inner)


class _Closing:
    def __init__(self, parts: frozenset[str]) -> None:
        self._parts = parts

    def close(self, schema: Any) -> Any:
        closed = self._close_below(schema)
        if isinstance(schema, dict) and isinstance(schema.get("properties"), dict) and "allOf" not in schema:
            closed.setdefault("additionalProperties", False)
        return closed

    def _close_below(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        return {keyword: self._close_within(keyword, value) for keyword, value in schema.items()}

    def _close_within(self, keyword: str, value: Any) -> Any:
        if keyword in _MAPS and isinstance(value, dict):
            open_ones = {name for name in value if f"#/{keyword}/{name}" in self._parts}
            return {n: self._close_below(v) if n in open_ones else self.close(v) for n, v in value.items()}
        if keyword in _LISTS and isinstance(value, list):
            return [self.close(schema) for schema in value]
        if keyword == "allOf" and isinstance(value, list):
            return [self._close_below(schema) for schema in value]
        return self.close(value) if keyword in _SINGLE else value
