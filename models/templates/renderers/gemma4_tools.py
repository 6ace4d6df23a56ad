"""Declarations of functions for Gemma 4 (prompting.md 6.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.templates.go_json import plain
from models.templates.renderers.gemma_values import Quotes

QUOTES = Quotes('<|"|>', "null")
_OWN_WORDS = ("description", "type", "properties", "required", "nullable")


def declaration(function: Mapping[str, Any]) -> str:
    """A function, with its description even when there is none."""
    members = [f"description:{QUOTES.string(function.get('description', ''))}"]
    parameters = function["parameters"]
    if parameters["properties"] is not None or parameters["type"]:
        members.append("parameters:{" + ",".join(_parameters(parameters)) + "}")
    return f"<|tool>declaration:{function['name']}{{{','.join(members)}}}<tool|>"


def _parameters(parameters: Mapping[str, Any]) -> list[str]:
    members = []
    if parameters["properties"]:
        members.append(_properties(parameters["properties"], is_raw=False))
    if parameters.get("required"):
        members.append(f"required:{QUOTES.strings(parameters['required'])}")
    if parameters["type"]:
        members.append(f"type:{QUOTES.string(parameters['type'].upper())}")
    return members


def _properties(properties: Mapping[str, Any], *, is_raw: bool) -> str:
    """`is_raw`: these are free-form JSON, of which a request keeps everything."""
    named = {name: properties[name] for name in sorted(properties) if name not in _OWN_WORDS}
    return "properties:{" + ",".join(f"{n}:{_property(s, is_raw=is_raw)}" for n, s in named.items()) + "}"


def _property(schema: Any, *, is_raw: bool) -> str:
    schema = schema if isinstance(schema, dict) else {}
    types = _types(schema)
    # Compat: several declared types become one word, which is none of those that are looked for below.
    first = "" if len(types) > 1 and not is_raw else types[0].upper() if types else ""
    members = []
    if schema.get("description"):
        members.append(f"description:{QUOTES.string(plain(schema['description']))}")
    if first == "STRING" and schema.get("enum"):
        members.append(f"enum:{QUOTES.strings(map(plain, schema['enum']))}")
    if first == "ARRAY" and schema.get("items") and isinstance(schema["items"], dict):
        members.append("items:{" + ",".join(_items(schema["items"])) + "}")
    if schema.get("nullable") is True:
        members.append("nullable:true")
    if first == "OBJECT":
        nested = schema.get("properties")
        members.append(_properties(nested if isinstance(nested, dict) else schema, is_raw=is_raw))
        if schema.get("required"):
            members.append(f"required:{QUOTES.strings(map(plain, schema['required']))}")
    members.append(f"type:{_type_text(types, is_raw=is_raw)}")
    return "{" + ",".join(members) + "}"


def _items(items: Mapping[str, Any]) -> list[str]:
    members = []
    for key in sorted(items):
        value = items[key]
        match key, value:
            case _, None:
                pass
            case "properties", dict():
                members.append(_properties(value, is_raw=True))
            case "required", list():
                members.append(f"required:{QUOTES.strings(map(plain, value))}")
            case "type", str() | list():
                members.append(f"type:{_type_text(_types(items), is_raw=True)}")
            case _:
                members.append(f"{key}:{QUOTES.value(value, quotes_keys=True)}")
    return members


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    types = schema.get("type") or ()
    if isinstance(types, str):
        return (types,)
    members = schema.get("anyOf") or ()
    if not types and all(isinstance(member, dict) and set(member) == {"type"} for member in members):
        types = [kind for member in members for kind in _types(member)]
    return tuple(dict.fromkeys(map(str, types)))


def _type_text(types: Sequence[str], *, is_raw: bool) -> str:
    words = [kind.upper() for kind in types]
    if len(words) < 2:
        return QUOTES.string("".join(words))
    return QUOTES.strings(words) if is_raw else QUOTES.string("[" + ", ".join(f"'{word}'" for word in words) + "]")
