"""A grammar of replies that are calls and nothing else, for requests that demand one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from models.parsers.atem_grammar import atem_call, atem_reply
from models.parsers.body_grammar import body_call
from models.parsers.lark import Lark, object_schema
from models.parsers.native_harmony import ANSWER
from models.parsers.syntax import (
    AddressedCalls,
    AtemCalls,
    Body,
    BodyCalls,
    CallForm,
    HarmonyCalls,
    JsonCalls,
    NamedCalls,
    tags_of,
)
from models.templates.chat import Tool

_ID = r'"\"" /[a-zA-Z0-9]{9}/ "\""'
"""Compat: Mistral's templates take ids of nine letters and digits, no others."""


@dataclass(frozen=True, slots=True)
class CallGrammar:
    """`text` and the tags that it refers to. `has_thoughts`: thoughts that may come first are part of it."""

    text: str
    tags: tuple[str, ...]
    has_thoughts: bool = False


def call_grammar(syntax: CallForm, tools: Sequence[Tool], *, many: bool, thinks: bool = False) -> CallGrammar:
    """Replies that call one of these tools; `many`: or several, one after the other, where the form allows it.

    `thinks`: a thought may come before what the grammar sees, and whitespace after that.
    """
    lark = Lark(tags_of(syntax))
    calls = lark.either(f"call_{i}" for i in range(len(tools)))
    has_thoughts = isinstance(syntax, (HarmonyCalls, AtemCalls))
    blanks = "/[ \\n]{0,4}/ " if thinks and not has_thoughts else ""
    lark.rules["start"] = blanks + _block(syntax, lark, calls, many=many)
    for i, tool in enumerate(tools):
        lark.rules[f"call_{i}"] = _call(syntax, lark, i, tool["function"])
    return CallGrammar(lark.text, lark.tags, has_thoughts=has_thoughts)


# ---- what stands around calls --------------------------------------------------------------------------------------


def _block(syntax: CallForm, lark: Lark, calls: str, *, many: bool) -> str:
    match syntax:
        case JsonCalls(in_array=True):
            more = f' (", " {calls})*' if many else ""
            end = lark.literal(syntax.end) if syntax.end else ""
            return f'{_start(syntax, lark)} "[" {calls}{more} "]" {end}'
        case JsonCalls(repeats=False) | HarmonyCalls():
            return calls
        case NamedCalls() if syntax.opening:
            more = f" (/\\n?/ {calls})*" if many else ""
            return f"{lark.literal(syntax.opening)} {calls}{more} {lark.literal(syntax.closing)}"
        case BodyCalls(body=Body.PYTHON):
            more = f' (", " {calls})*' if many else ""
            return f'{lark.literal(syntax.start)} "[" {calls}{more} "]" {lark.literal(syntax.end)}'
        case BodyCalls(body=Body.PYTHON_LINES):
            more = f' ("\\n" {calls})*' if many else ""
            return f"{lark.literal(syntax.start)} {calls}{more} {lark.literal(syntax.end)}"
        case AtemCalls():
            return atem_reply(lark, calls, many=many)
        case AddressedCalls():
            more = f" ({lark.literal(syntax.start)} {calls})*" if many else ""
            return calls + more
        case JsonCalls() | NamedCalls() | BodyCalls():
            return f"{calls} (/\\n?/ {calls})*" if many else calls
        case _:
            assert_never(syntax)


def _start(syntax: JsonCalls, lark: Lark) -> str:
    return lark.literal(syntax.start) if syntax.start else ""


# ---- one call ------------------------------------------------------------------------------------------------------


def _call(syntax: CallForm, lark: Lark, i: int, function: Mapping[str, Any]) -> str:
    name = function["name"]
    schema = object_schema(function.get("parameters") or {})
    match syntax:
        case JsonCalls():
            return _json_call(syntax, lark, name, lark.json(f"args_{i}", schema))
        case NamedCalls():
            head, end = syntax.begin + name + syntax.separator, "\n" * ("```" in syntax.end) + syntax.end
            tail = f" {lark.literal(end)}" if end else ""
            return f"{lark.literal(head)} {lark.json(f'args_{i}', schema)}{tail}"
        case AddressedCalls():
            return f"{lark.literal(name + chr(10))} {lark.json(f'args_{i}', schema)}"
        case HarmonyCalls():
            return _harmony_call(lark, name, lark.json(f"args_{i}", schema))
        case BodyCalls():
            return body_call(syntax, lark, i, name, schema)
        case AtemCalls():
            return atem_call(lark, i, name, schema)
        case _:
            assert_never(syntax)


def _json_call(syntax: JsonCalls, lark: Lark, name: str, arguments: str) -> str:
    """The keys in the order of most templates, spaced as `tojson` does."""
    said = json.dumps(name, ensure_ascii=False)
    if syntax.name_is_key:
        parts = [lark.literal(f"{{{said}: "), arguments]
    else:
        parts = [lark.literal(f'{{"{syntax.name_key}": {said}, "{syntax.arguments_key}": '), arguments]
    if syntax.id_key and not syntax.wrapper:
        parts += [lark.literal(f', "{syntax.id_key}": '), _ID]
    parts.append('"}"')
    if syntax.wrapper:
        head = '"type": "function", ' if syntax.wrapper == "function" else ""
        parts = [lark.literal(f'{{{head}"{syntax.wrapper}": '), *parts, '"}"']
    if not syntax.in_array:
        end = "\n" * syntax.start.endswith("\n") + syntax.end
        parts = [_start(syntax, lark), *parts, lark.literal(end) if end else ""]
    return " ".join(filter(None, parts))


def _harmony_call(lark: Lark, name: str, arguments: str) -> str:
    """A message to the tool, perhaps after a thought."""
    channel = ANSWER.partition("final")[0]
    thought = f"{lark.literal(channel + 'analysis<|message|>')} {lark.until('<|end|>')}"
    again = lark.literal("<|start|>assistant")
    head = lark.literal(f"{channel}commentary to=functions.{name} <|constrain|>json<|message|>")
    return f"({thought} {again})? {head} {arguments}"
