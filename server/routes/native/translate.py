"""From bodies of the native API to the internal requests, and messages back to their wire form: pure."""

from __future__ import annotations

import base64
from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Message, Tool
from models.templates.go_json import sorted_keys
from registry.gojson import Raw, encode_sorted
from server.errors import BadField
from server.requests import ChatRequest, EmbedRequest, GenerateRequest
from server.routes.native.schema import (
    ChatBody,
    EmbedBody,
    EmbeddingBody,
    GenerateBody,
    MessageBody,
    ParametersBody,
    PropertyBody,
    ToolBody,
)

MODEL_REQUIRED = "model is required"
MAX_TOP_LOGPROBS = 20


def to_chat_request(body: ChatBody, arrived_ns: int) -> ChatRequest:
    """Raises: BadField."""
    n_logprobs = _n_logprobs(body)
    require_model(body.model)
    return ChatRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        format=body.format,
        think=body.think,
        truncate=body.truncate is not False,
        shift=body.shift,
        n_logprobs=n_logprobs,
        debug_render_only=body.debug_render_only,
        messages=tuple(to_message(message) for message in body.messages),
        tools=tuple(to_tool(tool) for tool in body.tools),
    )


def to_generate_request(body: GenerateBody, arrived_ns: int) -> GenerateRequest:
    """Raises: BadField."""
    return GenerateRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        format=body.format,
        think=body.think,
        truncate=body.truncate is not False,
        shift=body.shift,
        n_logprobs=_n_logprobs(body),
        debug_render_only=body.debug_render_only,
        prompt=body.prompt,
        suffix=body.suffix,
        system=body.system,
        template=body.template,
        context=None if body.context is None else tuple(body.context),
        raw=body.raw,
        images=tuple(body.images),
    )


def to_embed_request(body: EmbedBody, arrived_ns: int) -> EmbedRequest:
    """Raises: BadField."""
    return EmbedRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        inputs=_inputs(body.input),
        truncate=body.truncate is not False,
        dimensions=body.dimensions,
    )


def to_embedding_request(body: EmbeddingBody, arrived_ns: int) -> EmbedRequest:
    """Raises: BadField."""
    require_model(body.model)
    return EmbedRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        inputs=(body.prompt,) if body.prompt else (),
        truncate=False,
        normalize=False,
    )


def require_model(name: str) -> None:
    """Raises: BadField where there is no name at all; a wrong one is found out later."""
    if not name.strip():
        raise BadField(MODEL_REQUIRED)


def _n_logprobs(body: ChatBody | GenerateBody) -> int | None:
    if not 0 <= body.top_logprobs <= MAX_TOP_LOGPROBS:
        raise BadField(f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}")
    return body.top_logprobs if body.logprobs else None


def _inputs(value: Any) -> tuple[str, ...]:
    """# Compat: http-api 6.13: an empty text alone only loads, one within a list is embedded."""
    match value:
        case None | "":
            return ()
        case str():
            return (value,)
        case list() if all(isinstance(item, str) for item in value):
            return tuple(value)
        case _:
            raise BadField("invalid input type")


# --------------------------------------------------------------------------------------------------------------------
# Messages and tools


def to_message(body: MessageBody) -> Message:
    calls = (
        ToolCall(call.function.name, call.function.arguments, call.function.index, call.id) for call in body.tool_calls
    )
    return Message(
        role=body.role.lower(),
        content=body.content,
        thinking=body.thinking,
        images=tuple(body.images),
        tool_calls=tuple(calls),
        tool_name=body.tool_name,
        tool_call_id=body.tool_call_id,
    )


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


def from_message(body: MessageBody) -> dict[str, Any]:
    """A message as Go writes it. # Compat: http-api 6.12."""
    found: dict[str, Any] = {"role": body.role.lower(), "content": body.content}
    if body.thinking:
        found["thinking"] = body.thinking
    if body.images:
        found["images"] = [base64.b64encode(image).decode() for image in body.images]
    if body.tool_calls:
        found["tool_calls"] = [from_tool_call(to_call) for to_call in to_message(body).tool_calls]
    if body.tool_name:
        found["tool_name"] = body.tool_name
    if body.tool_call_id:
        found["tool_call_id"] = body.tool_call_id
    return found


def from_tool_call(call: ToolCall) -> dict[str, Any]:
    """Arguments keep their order; the maps within them are sorted, as Go's plain maps are."""
    arguments = {name: Raw(encode_sorted(value)) for name, value in call.arguments.items()}
    function = {"index": call.index, "name": call.name, "arguments": arguments}
    return {"id": call.id, "function": function} if call.id else {"function": function}
