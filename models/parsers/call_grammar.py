"""A grammar of replies that are calls and nothing else, for requests that demand one.

It is written in Lark as llguidance reads it. Tags may be control tokens of the model, which only the runner knows; so
they are named `tag_0`, `tag_1`, … here (and `until_tag_0` a text up to and including the tag), in the order of `tags`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from models.parsers.native_harmony import ANSWER
from models.parsers.syntax import (
    AddressedCalls,
    Body,
    BodyCalls,
    CallSyntax,
    HarmonyCalls,
    JsonCalls,
    NamedCalls,
    tags_of,
)
from models.templates.chat import Tool
from models.templates.schema import types_of

_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_SCHEMA_OPTIONS = {"whitespace_pattern": r"( |\n{1,2}[ \t]{0,20})?", "lenient": True}
"""As for answers in a format of their own."""

_ID = r'"\"" /[a-zA-Z0-9]{9}/ "\""'
"""Compat: Mistral's templates take ids of nine letters and digits, no others."""


@dataclass(frozen=True, slots=True)
class CallGrammar:
    """`text` and the tags that it refers to. `has_thoughts`: thoughts that may come first are part of it."""

    text: str
    tags: tuple[str, ...]
    has_thoughts: bool = False


def call_grammar(syntax: CallSyntax, tools: Sequence[Tool], *, many: bool, thinks: bool = False) -> CallGrammar:
    """Replies that call one of these tools; `many`: or several, one after the other, where the form allows it.

    `thinks`: a thought may come before what the grammar sees, and whitespace after that.
    """
    lark = _Lark(tags_of(syntax))
    calls = lark.either(f"call_{i}" for i in range(len(tools)))
    blanks = "/[ \\n]{0,4}/ " if thinks else ""
    lark.rules["start"] = blanks + _block(syntax, lark, calls, many=many)
    for i, tool in enumerate(tools):
        lark.rules[f"call_{i}"] = _call(syntax, lark, i, tool["function"])
    return CallGrammar(lark.text, lark.tags, has_thoughts=isinstance(syntax, HarmonyCalls))


@dataclass(slots=True)
class _Lark:
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

    def json(self, name: str, schema: Mapping[str, Any]) -> str:
        """A rule for JSON of this schema; its name."""
        self.rules[name] = "%json " + json.dumps({**schema, "x-guidance": _SCHEMA_OPTIONS})
        return name

    def either(self, names: Iterable[str]) -> str:
        return "(" + " | ".join(names) + ")"

    @property
    def text(self) -> str:
        return "\n".join(f"{name}: {rule}" for name, rule in self.rules.items())


# ---- what stands around calls --------------------------------------------------------------------------------------


def _block(syntax: CallSyntax, lark: _Lark, calls: str, *, many: bool) -> str:
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
        case AddressedCalls():
            more = f" ({lark.literal(syntax.start)} {calls})*" if many else ""
            return calls + more
        case JsonCalls() | NamedCalls() | BodyCalls():
            return f"{calls} (/\\n?/ {calls})*" if many else calls
        case _:
            assert_never(syntax)


def _start(syntax: JsonCalls, lark: _Lark) -> str:
    return lark.literal(syntax.start) if syntax.start else ""


# ---- one call ------------------------------------------------------------------------------------------------------


def _call(syntax: CallSyntax, lark: _Lark, i: int, function: Mapping[str, Any]) -> str:
    name = function["name"]
    schema = _object_schema(function.get("parameters") or {})
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
            return _body_call(syntax, lark, i, name, schema)
        case _:
            assert_never(syntax)


def _json_call(syntax: JsonCalls, lark: _Lark, name: str, arguments: str) -> str:
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


def _harmony_call(lark: _Lark, name: str, arguments: str) -> str:
    """A message to the tool, perhaps after a thought."""
    channel = ANSWER.partition("final")[0]
    thought = f"{lark.literal(channel + 'analysis<|message|>')} {lark.until('<|end|>')}"
    again = lark.literal("<|start|>assistant")
    head = lark.literal(f"{channel}commentary to=functions.{name} <|constrain|>json<|message|>")
    return f"({thought} {again})? {head} {arguments}"


def _body_call(syntax: BodyCalls, lark: _Lark, i: int, name: str, schema: Mapping[str, Any]) -> str:
    parameters: Mapping[str, Any] = schema.get("properties") or {}
    required = schema.get("required") or ()
    values = [
        (key, _value(syntax.body, lark, f"value_{i}_{n}", key, parameter, schema))
        for n, (key, parameter) in enumerate(parameters.items())
    ]
    if syntax.body is Body.PYTHON:
        return f"{lark.literal(name + '(')} {_listed(values, required)} {lark.literal(')')}"
    head = "\n<function={}>\n" if syntax.body is Body.QWEN_XML else "{}\n"
    tail = "</function>\n" if syntax.body is Body.QWEN_XML else ""
    body = " ".join(value if key in required else f"({value})?" for key, value in values)
    return " ".join((lark.literal(syntax.start + head.format(name)), body, lark.literal(tail + syntax.end)))


def _listed(values: Sequence[tuple[str, str]], required: Sequence[str]) -> str:
    """Values with commas between them, those that must come first."""
    needed = [value for key, value in values if key in required]
    others = [value for key, value in values if key not in required]
    if not needed:
        return f"({' | '.join(others)})?" if others else ""
    return ' ", " '.join(needed) + "".join(f' (", " {value})?' for value in others)


def _value(
    body: Body, lark: _Lark, rule: str, key: str, parameter: Mapping[str, Any], schema: Mapping[str, Any]
) -> str:
    """An argument with its key: text as it is, anything else as JSON."""
    choices = parameter.get("enum")
    is_text = types_of(parameter) == ("string",) and all(isinstance(choice, str) for choice in choices or ())
    defs = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    json_rule = "" if is_text and body is not Body.PYTHON else lark.json(rule, {**parameter, **defs})
    match body:
        case Body.QWEN_XML:
            head, end, tail = f"<parameter={key}>\n", "</parameter>", "\n"
        case Body.GLM_XML:
            head, end, tail = f"<arg_key>{key}</arg_key>\n<arg_value>", "</arg_value>", "\n"
        case Body.PYTHON:
            return f"{lark.literal(key + '=')} {json_rule}"
    if is_text and not choices:
        return f"{lark.literal(head)} {lark.until(end)} {lark.literal(tail)}"
    value = lark.either(map(lark.literal, choices)) if is_text and choices else json_rule
    before_end = "\n" if body is Body.QWEN_XML else ""
    return f"{lark.literal(head)} {value} {lark.literal(before_end + end + tail)}"


# ---- schemas -------------------------------------------------------------------------------------------------------


def _object_schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
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
