"""Messages, calls and tools as templates see them (prompting.md 1.4)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from models.parsers.events import ToolCall
from models.templates.chat import Message, Tool
from models.templates.go.values import Struct, TextList, TextMap, Value, to_json
from models.templates.go_json import compact
from models.templates.schema import types_of

_Fields = Mapping[str, Callable[[Any], Value]]


def as_value(raw: Any) -> Value:
    """A JSON value of a request: every number is a float64."""
    if type(raw) is int:
        return float(raw)
    if isinstance(raw, dict):
        return {key: as_value(value) for key, value in raw.items()}
    return [as_value(item) for item in raw] if isinstance(raw, (list, tuple)) else raw


class MessageValue(Struct):
    """A message."""

    go_type = "*template.templateMessage"

    def __init__(self, message: Message, content: str) -> None:
        self._message = message
        self._content = content

    fields: ClassVar[_Fields] = MappingProxyType(
        {
            "Role": lambda value: value._message.role,
            "Content": lambda value: value._content,
            "Thinking": lambda value: value._message.thinking,
            "Images": lambda value: [base64.b64encode(image).decode() for image in value._message.images],
            "ToolCalls": lambda value: [CallValue(call) for call in value._message.tool_calls],
            "ToolName": lambda value: value._message.tool_name,
            "ToolCallID": lambda value: value._message.tool_call_id,
        }
    )

    def to_json(self) -> Value:
        """Go encodes slices without elements that were never made as null."""
        members = super().to_json()
        return {name: None if value == [] else value for name, value in members.items()}


class CallValue(Struct):
    """A tool call."""

    go_type = "template.templateToolCall"

    def __init__(self, call: ToolCall) -> None:
        self._call = call

    fields: ClassVar[_Fields] = MappingProxyType(
        {"ID": lambda value: value._call.id, "Function": lambda value: CalledFunction(value._call)}
    )


class CalledFunction(Struct):
    """Name and arguments of a call; the arguments are a plain map, so their order is that of the keys."""

    go_type = "template.templateToolCallFunction"

    def __init__(self, call: ToolCall) -> None:
        self._call = call

    fields: ClassVar[_Fields] = MappingProxyType(
        {
            "Index": lambda value: value._call.index,
            "Name": lambda value: value._call.name,
            "Arguments": lambda value: TextMap(as_value(value._call.arguments or {})),
        }
    )


class ToolValue(Struct):
    """A tool; prints as its JSON."""

    go_type = "template.templateTool"

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    fields: ClassVar[_Fields] = MappingProxyType(
        {
            "Type": lambda value: value._tool.get("type", ""),
            "Items": lambda value: as_value(value._tool.get("items")),
            "Function": lambda value: FunctionValue(value._tool["function"]),
        }
    )

    def to_json(self) -> Value:
        members: dict[str, Value] = {"type": self._tool.get("type", "")}
        if "items" in self._tool:
            members["items"] = to_json(self._tool["items"])
        return members | {"function": FunctionValue(self._tool["function"]).to_json()}

    def text(self) -> str:
        return compact(self.to_json())


class FunctionValue(Struct):
    """Name, description and parameters of a tool."""

    go_type = "template.templateToolFunction"

    def __init__(self, function: Mapping[str, Any]) -> None:
        self._function = function

    fields: ClassVar[_Fields] = MappingProxyType(
        {
            "Name": lambda value: value._function.get("name", ""),
            "Description": lambda value: value._function.get("description", ""),
            "Parameters": lambda value: ParametersValue(value._function.get("parameters") or {}),
        }
    )

    def to_json(self) -> Value:
        return {
            "name": self._function.get("name", ""),
            "description": self._function.get("description", ""),
            "parameters": ParametersValue(self._function.get("parameters") or {}).to_json(),
        }


class ParametersValue(Struct):
    """The schema of a tool's arguments; its properties are a plain map, so their order is that of the names."""

    go_type = "template.templateToolFunctionParameters"

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters

    fields: ClassVar[_Fields] = MappingProxyType(
        {
            "Type": lambda value: value._parameters.get("type", ""),
            "Defs": lambda value: as_value(value._parameters.get("$defs")),
            "Items": lambda value: as_value(value._parameters.get("items")),
            "Required": lambda value: list(value._parameters.get("required") or ()),
            "Properties": lambda value: TextMap(
                {name: PropertyValue(raw) for name, raw in (value._parameters.get("properties") or {}).items()}
            ),
        }
    )

    def to_json(self) -> Value:
        members = {key: to_json(value) for key, value in self._parameters.items() if key != "properties"}
        properties = self._parameters.get("properties")
        sorted_properties = None if properties is None else {name: properties[name] for name in sorted(properties)}
        return {"type": ""} | members | {"properties": sorted_properties}


class PropertyValue(Struct):
    """One property; what lies inside keeps its order."""

    go_type = "template.templateToolProperty"

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    fields: ClassVar[_Fields] = MappingProxyType(
        {
            "AnyOf": lambda value: [PropertyValue(member) for member in value._raw.get("anyOf") or ()],
            "Type": lambda value: TypeList(value._raw.get("type") or ()),
            "Items": lambda value: as_value(value._raw.get("items")),
            "Description": lambda value: value._raw.get("description", ""),
            "Enum": lambda value: as_value(list(value._raw.get("enum") or ())),
            "Properties": lambda value: TextMap(
                {name: PropertyValue(raw) for name, raw in (value._raw.get("properties") or {}).items()}
            ),
            "Required": lambda value: list(value._raw.get("required") or ()),
        }
    )
    methods: ClassVar[_Fields] = MappingProxyType({"ToTypeScriptType": lambda value: typescript_type(value._raw)})

    def to_json(self) -> Value:
        return self._raw


class TypeList(TextList):
    """The types of a property; a single one prints as itself."""

    def __init__(self, types: str | Sequence[str]) -> None:
        super().__init__([types] if isinstance(types, str) else types)

    def to_json(self) -> Value:
        return self[0] if len(self) == 1 else list(self)

    def text(self) -> str:
        return self[0] if len(self) == 1 else "[" + " ".join(self) + "]"


_TYPESCRIPT = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


def typescript_type(schema: Mapping[str, Any]) -> str:
    """The type of a property in TypeScript (prompting.md 0.5)."""
    if schema.get("anyOf"):
        return " | ".join(map(typescript_type, schema["anyOf"]))
    return " | ".join(_TYPESCRIPT.get(kind, "any") for kind in types_of(schema)) or "any"
