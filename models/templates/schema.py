"""Messages and tools from their JSON form: the members that Ollama knows, in the order in which it prints them.

Requests come through the server's own decoder, which gives the same forms with Go's error texts; this module reads
what is stored with models, and values that are already known to be well formed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from models.errors import BadRequest
from models.parsers.events import ToolCall
from models.templates.chat import Message, Think, Tool
from models.templates.go_json import sorted_keys
from models.templates.limits import walks_values

_LEVELS = ("low", "medium", "high", "max")


@walks_values
def parse_message(raw: Mapping[str, Any] | None) -> Message:
    """A message; members are matched without regard to case, unknown ones are dropped."""
    fields = _folded(raw)
    return Message(
        role=(fields.get("role") or "").lower(),
        content=fields.get("content") or "",
        thinking=fields.get("thinking") or "",
        images=tuple(base64.b64decode(image) for image in fields.get("images") or ()),
        tool_calls=tuple(parse_call(call, i) for i, call in enumerate(fields.get("tool_calls") or ())),
        tool_name=fields.get("tool_name") or "",
        tool_call_id=fields.get("tool_call_id") or "",
    )


@walks_values
def parse_call(raw: Mapping[str, Any], index: int = 0) -> ToolCall:
    """A tool call; maps inside an argument are sorted, the arguments themselves keep their order."""
    fields = _folded(raw)
    function = _folded(fields.get("function"))
    arguments = function.get("arguments", {})
    if arguments is not None:
        arguments = {key: sorted_keys(value) for key, value in arguments.items()}
    return ToolCall(function.get("name") or "", arguments, function.get("index", index), fields.get("id") or "")


@walks_values
def parse_tool(raw: Mapping[str, Any]) -> Tool:
    """A tool in the key order of prompting.md 0.5; every other member is dropped."""
    fields = _folded(raw)
    tool: Tool = {"type": fields.get("type") or ""}
    if fields.get("items") is not None:
        tool["items"] = sorted_keys(fields["items"])
    function = _folded(fields.get("function"))
    shaped = {"name": function.get("name") or ""}
    if function.get("description"):
        shaped["description"] = function["description"]
    return tool | {"function": shaped | {"parameters": _parameters(_folded(function.get("parameters")))}}


def _parameters(fields: dict[str, Any]) -> dict[str, Any]:
    shaped: dict[str, Any] = {"type": fields.get("type") or ""}
    for name in ("$defs", "items"):
        if fields.get(name) is not None:
            shaped[name] = sorted_keys(fields[name])
    if fields.get("required"):
        shaped["required"] = list(fields["required"])
    properties = fields.get("properties")
    return shaped | {"properties": None if properties is None else _properties(properties)}


def _properties(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _property(_folded(value)) for name, value in raw.items()}


def _property(fields: dict[str, Any]) -> dict[str, Any]:
    shaped: dict[str, Any] = {}
    if fields.get("anyof"):
        shaped["anyOf"] = [_property(_folded(member)) for member in fields["anyof"]]
    types = fields.get("type")
    if types:
        shaped["type"] = types[0] if isinstance(types, list) and len(types) == 1 else types
    if fields.get("items") is not None:
        shaped["items"] = sorted_keys(fields["items"])
    if fields.get("description"):
        shaped["description"] = fields["description"]
    if fields.get("enum"):
        shaped["enum"] = [sorted_keys(value) for value in fields["enum"]]
    if fields.get("properties") is not None:
        shaped["properties"] = _properties(fields["properties"])
    if fields.get("required"):
        shaped["required"] = list(fields["required"])
    return shaped


def parse_think(raw: Any) -> Think | None:
    """The `think` of a request. Raises: BadRequest with Ollama's text."""
    if raw is None:
        return None
    if isinstance(raw, bool):
        return Think(raw)
    if raw in _LEVELS:
        return Think(True, raw)
    # Compat: prompting 0.5.
    if isinstance(raw, str):
        raise BadRequest(f'invalid think value: "{raw}" (must be "high", "medium", "low", "max", true, or false)')
    raise BadRequest('think must be a boolean or string ("high", "medium", "low", "max", true, or false)')


def types_of(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    """The declared types of a property; those of its `anyOf` members, if it has any."""
    if parameter.get("anyOf"):
        return tuple(kind for member in parameter["anyOf"] for kind in types_of(member))
    types = parameter.get("type") or ()
    return (types,) if isinstance(types, str) else tuple(types)


def _folded(raw: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key.lower(): value for key, value in (raw or {}).items()}
