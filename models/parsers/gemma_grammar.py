"""Grammars of values as the Gemma families write them: bare keys, and quotes that are a token of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from models.parsers.lark import Lark
from models.templates.schema import types_of

_SCALARS = ("integer", "number", "boolean", "null")
_MAX_DEPTH = 16
"""Below it, any value will do."""


class GemmaValues:
    """`is_one_line`: FunctionGemma's, which knows no null, and whose texts hold neither line ends nor `<`."""

    def __init__(self, lark: Lark, *, is_one_line: bool) -> None:
        self._lark = lark
        self._is_one_line = is_one_line
        quote = "<escape>" if is_one_line else '<|"|>'
        inside = rf"/[^\n<]*/ {lark.literal(quote)}" if is_one_line else lark.until(quote)
        self._quote, self._text = quote, f"{lark.literal(quote)} {inside}"

    def member(self, key: str, rule: str, schema: Mapping[str, Any], depth: int = 0) -> str:
        """A key with its value; rules that this needs have names that begin with `rule`."""
        is_bare = self._is_one_line or re.fullmatch(r"\w+", key)
        return (
            f"{self._lark.literal(f'{key}:' if is_bare else f'{json.dumps(key)}:')} {self._value(rule, schema, depth)}"
        )

    def _value(self, rule: str, schema: Mapping[str, Any], depth: int) -> str:
        if choices := schema.get("enum"):
            return self._lark.either(map(self._constant, choices))
        items, properties = schema.get("items"), schema.get("properties")
        match types_of(schema):
            case ("string",):
                return self._text
            case (kind,) if kind in _SCALARS and not (self._is_one_line and kind == "null"):
                return self._lark.json(rule, schema, is_one_line=True)
            case ("array",) if isinstance(items, dict) and depth < _MAX_DEPTH:
                item = self._value(f"{rule}_0", items, depth + 1)
                return f'"[" ({item} ("," {item})*)? "]"'
            case ("object",) if isinstance(properties, dict) and depth < _MAX_DEPTH:
                members = [
                    (key, self.member(key, f"{rule}_{n}", inner, depth + 1))
                    for n, (key, inner) in enumerate(properties.items())
                    if isinstance(inner, dict)
                ]
                return f'"{{" {self._lark.listed(members, schema.get("required") or (), ",")} "}}"'
        return self._anything()

    def _constant(self, value: Any) -> str:
        return self._lark.literal(
            f"{self._quote}{value}{self._quote}" if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        )

    def _anything(self) -> str:
        rules = self._lark.rules
        if "any_value" not in rules:
            kinds = ["number", "boolean"] if self._is_one_line else ["number", "boolean", "null"]
            self._lark.json("any_scalar", {"type": kinds}, is_one_line=True)
            rules["any_member"] = '/\\w+/ ":" any_value'
            rules["any_list"] = '"[" (any_value ("," any_value)*)? "]"'
            rules["any_map"] = '"{" (any_member ("," any_member)*)? "}"'
            rules["any_value"] = f"{self._text} | any_scalar | any_list | any_map"
        return "any_value"
