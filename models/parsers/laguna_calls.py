"""The body of a call of Laguna: JSON, or a name with keys and values in elements, or a name with JSON arguments.

# Compat: prompting 6.15.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from models.parsers.errors import ParserError
from models.parsers.json_values import decode_json, member
from models.parsers.steps import Expectations
from models.parsers.text import SPACES, trim
from models.parsers.typed_values import typed_value
from models.templates.schema import types_of

_KEY, _VALUE_END = "<arg_key>", "</arg_value>"
_BETWEEN = re.compile(rf"</arg_key>[{SPACES}]*<arg_value>")
_ALIASES = {"read_file": "read", "write_file": "write", "edit_file": "edit", "web_fetch": "webfetch"}


def parse_laguna_call(text: str, expectations: Expectations) -> tuple[str, dict[str, Any]]:
    """Name, of a declared tool where it goes by another, and arguments. Raises: ParserError."""
    text = trim(text.replace("<tool_call>", ""))
    if text.startswith("{"):
        fields = _object(text, "failed to parse Laguna JSON tool call")
        name, arguments = member(fields, "name"), member(fields, "arguments")
        if not isinstance(name, str | None) or not isinstance(arguments, dict | None):
            raise ParserError("failed to parse Laguna JSON tool call: a member has the wrong type")
        return _declared(name or "", expectations), arguments or {}
    name, tag, _ = text.partition(_KEY)
    if tag:
        name = _declared(trim(name), expectations)
        pairs = {trim(key): value for key, value in _pairs(text)}
        types = {key: types_of(expectations.parameter(name, key)) for key in pairs}
        return name, {key: typed_value(value, types[key]) for key, value in pairs.items()}
    name, brace, rest = text.partition("{")
    name = _declared(trim(name), expectations)
    return name, _object(brace + rest, "failed to parse Laguna JSON tool call arguments") if brace else {}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    end = 0
    while (start := text.find(_KEY, end)) >= 0:
        between = _BETWEEN.search(text, start)
        end = text.find(_VALUE_END, between.end()) if between else -1
        if between is None or end < 0:
            return
        yield text[start + len(_KEY) : between.start()], text[between.end() : end]


def _object(text: str, complaint: str) -> dict[str, Any]:
    try:
        value = decode_json(text)
    except ValueError as error:
        raise ParserError(f"{complaint}: {error}") from error
    if not isinstance(value, dict):
        raise ParserError(f"{complaint}: not an object")
    return value


def _declared(name: str, expectations: Expectations) -> str:
    if not name:
        raise ParserError("empty Laguna tool call name")
    alias = _ALIASES.get(name)
    is_alias = alias is not None and expectations.tool(name) is None and expectations.tool(alias) is not None
    return alias if alias is not None and is_alias else name
