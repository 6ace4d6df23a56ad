"""Tools as clients declare them: the schema that Ollama reads, and the tool that templates get.

# Compat: http-api 2.2, 6.12: every other keyword of a JSON Schema is dropped; Ollama api/types.go 0.33.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Tool
from models.templates.go_json import sorted_keys
from registry.gojson import Raw, encode, encode_sorted
from server.json_decoding.containers import Custom, Later, OrderedMap, Pointer, Slice, Struct
from server.json_decoding.kinds import Kind, decode, member
from server.json_decoding.nodes import Node
from server.json_decoding.scalars import ANY, STRING
from server.json_decoding.syntax import parse_whole


def read_property_type(node: Node) -> list[str]:
    """One name of a type, or several. # Compat: http-api 2.2, api.PropertyType."""
    if type(node) is str:
        return [node]
    names: list[str] = decode(Slice(STRING), node)
    return names


PROPERTY_TYPE = Pointer(Custom("api.PropertyType", read_property_type))
ARGUMENTS = OrderedMap(ANY, "api.ToolCallFunctionArguments")


def _property_kind() -> Kind:
    return PROPERTY


def _properties_kind() -> Kind:
    return PROPERTIES


@dataclass(slots=True)
class PropertyBody:
    anyOf: list[PropertyBody] = member(Slice(Later("api.ToolProperty", _property_kind)))
    type: list[str] | None = member(PROPERTY_TYPE)
    items: Any = member(ANY)
    description: str = member(STRING)
    enum: list[Any] = member(Slice(ANY))
    properties: dict[str, PropertyBody] | None = member(Pointer(Later("api.ToolPropertiesMap", _properties_kind)))
    required: list[str] = member(Slice(STRING))


PROPERTY = Struct("api.ToolProperty", PropertyBody)
PROPERTIES = OrderedMap(PROPERTY, "api.ToolPropertiesMap")


@dataclass(slots=True)
class ParametersBody:
    type: str = member(STRING)
    defs: Any = member(ANY, "$defs")
    items: Any = member(ANY)
    required: list[str] = member(Slice(STRING))
    properties: dict[str, PropertyBody] | None = member(Pointer(PROPERTIES))


PARAMETERS = Struct("api.ToolFunctionParameters", ParametersBody)


@dataclass(slots=True)
class ToolFunctionBody:
    name: str = member(STRING)
    description: str = member(STRING)
    parameters: ParametersBody = member(PARAMETERS)


@dataclass(slots=True)
class ToolBody:
    type: str = member(STRING)
    items: Any = member(ANY)
    function: ToolFunctionBody = member(Struct("api.ToolFunction", ToolFunctionBody))


TOOL = Struct("api.Tool", ToolBody)


def parse_parameters(raw: bytes) -> ParametersBody:
    """A schema that stands within a body as JSON, or is empty. Raises: DecodeError."""
    parameters: ParametersBody = decode(PARAMETERS, parse_whole(raw)) if raw else ParametersBody()
    return parameters


def parse_arguments(text: str) -> dict[str, Any]:
    """The arguments of a call that are told as the text of a JSON object. Raises: DecodeError."""
    arguments: dict[str, Any] = decode(ARGUMENTS, parse_whole(text.encode()))
    return arguments


def to_tool(body: ToolBody) -> Tool:
    """Only the keys that Ollama knows, in its order. # Compat: prompting 0.5."""
    function = body.function
    return _without_absent(
        {
            "type": body.type,
            "items": _ABSENT if body.items is None else sorted_keys(body.items),
            "function": _without_absent(
                {
                    "name": function.name,
                    "description": function.description or _ABSENT,
                    "parameters": _parameters(function.parameters),
                }
            ),
        }
    )


def _parameters(body: ParametersBody) -> dict[str, Any]:
    return _without_absent(
        {
            "type": body.type,
            "$defs": _ABSENT if body.defs is None else sorted_keys(body.defs),
            "items": _ABSENT if body.items is None else sorted_keys(body.items),
            "required": body.required or _ABSENT,
            "properties": None if body.properties is None else _properties(body.properties),
        }
    )


def _properties(bodies: dict[str, PropertyBody]) -> dict[str, Any]:
    return {name: _property(body) for name, body in bodies.items()}


def _property(body: PropertyBody) -> dict[str, Any]:
    names = body.type or []
    return _without_absent(
        {
            "anyOf": [_property(choice) for choice in body.anyOf] or _ABSENT,
            "type": names[0] if len(names) == 1 else names or _ABSENT,
            "items": _ABSENT if body.items is None else sorted_keys(body.items),
            "description": body.description or _ABSENT,
            "enum": sorted_keys(body.enum) if body.enum else _ABSENT,
            "properties": _ABSENT if body.properties is None else _properties(body.properties),
            "required": body.required or _ABSENT,
        }
    )


_ABSENT = object()


def _without_absent(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not _ABSENT}


def sorted_arguments(call: ToolCall) -> dict[str, Raw]:
    """Arguments keep their order; the maps within them are sorted, as Go's plain maps are."""
    return {name: Raw(encode_sorted(value)) for name, value in call.arguments.items()}


def arguments_text(call: ToolCall) -> str:
    """The arguments as one text of JSON."""
    return encode(sorted_arguments(call)).decode()
