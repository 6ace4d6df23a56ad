"""Calls as Gemma 4 writes them: `call:NAME{key:<|"|>text<|"|>,…}`, and repairs of those it gets slightly wrong.

# Compat: prompting 6.10.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from models.parsers.json_values import decode_object
from models.parsers.steps import Expectations
from models.parsers.text import SPACES, ltrim, rtrim, trim
from models.templates.schema import types_of

QUOTE = '<|"|>'
_Q = re.escape(QUOTE)
_QUOTED = re.compile(rf"{_Q}(.*?){_Q}", re.DOTALL)
_JSON_STRING = r'"(?:[^"\\]|\\.)*"'
_BARE_KEY = re.compile(rf"({_JSON_STRING})|([{{,][{SPACES}]*)(\w+)(?=:)", re.DOTALL)
_SINGLE_QUOTED = re.compile(
    rf"({_Q}.*?(?:{_Q}|\Z)|{_JSON_STRING})|(:[{SPACES}]*)'((?:[^'\\]|\\.)*)'(?:{_Q})?", re.DOTALL
)
_STRUCTURED = (QUOTE, "'", '"', "{", "[")
_LITERALS = tuple("-0123456789tfn")


def parse_gemma4_call(text: str, expectations: Expectations) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments; None if the text is no call even when repaired."""
    if not text.startswith("call:") or "{" not in text:
        return None
    name, brace, body = text.removeprefix("call:").partition("{")
    name = trim(name)
    for candidate in _candidates(brace + body, (expectations.tool(name) or {}).get("parameters") or {}):
        arguments = decode_object(_as_json(candidate))
        if arguments is not None:
            return name, arguments
    return None


def _as_json(text: str) -> str:
    quoted = _QUOTED.sub(lambda match: json.dumps(match[1], ensure_ascii=False), text)
    return _BARE_KEY.sub(lambda match: match[1] or f'{match[2]}"{match[3]}"', quoted)


def _candidates(arguments: str, parameters: dict[str, Any]) -> Iterator[str]:
    """The arguments as they are, then repaired in one way and another."""
    yield arguments
    requoted = _requoted(arguments)
    if requoted != arguments:
        yield _closed(requoted)
    wrapped = _raw_value_quoted(arguments, parameters.get("properties") or {})
    if wrapped is not None:
        yield _closed(_requoted(wrapped))


def _requoted(text: str) -> str:
    """With single quotes around values made the model's own, and the last of those closed."""
    text = _SINGLE_QUOTED.sub(lambda m: m[1] or f"{m[2]}{QUOTE}{_unescaped(m[3])}{QUOTE}", text)
    if text.count(QUOTE) % 2 == 0:
        return text
    end = len(rtrim(text))
    end -= text[:end].endswith(("}", "]"))
    return text[:end] + QUOTE + text[end:]


def _unescaped(text: str) -> str:
    return text.replace("\\'", "'")


def _closed(text: str) -> str:
    return text if rtrim(text).endswith("}") else text + "}"


def _raw_value_quoted(text: str, properties: dict[str, Any]) -> str | None:
    """With the first text that lacks its quotes in them; None if there is none."""
    for name, schema in properties.items():
        key = re.search(rf"[{{,][{SPACES}]*{re.escape(name)}:", text)
        if "string" not in types_of(schema) or key is None:
            continue
        value = ltrim(text[key.end() :])
        if value and not value.startswith(_STRUCTURED + _LITERALS):
            end = _value_end(text, key.end(), properties)
            return text[: key.end()] + QUOTE + text[key.end() : end] + QUOTE + text[end:]
    return None


def _value_end(text: str, start: int, properties: dict[str, Any]) -> int:
    """Where the next argument begins, else the last brace, else the end."""
    names = "|".join(map(re.escape, properties))
    if following := re.compile(rf",[{SPACES}]*(?:{names}):").search(text, start):
        return following.start()
    end = len(rtrim(text))
    return end - 1 if text[:end].endswith("}") else len(text)
