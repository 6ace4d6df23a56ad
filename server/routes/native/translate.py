"""From bodies of the native API to the internal requests, and messages back to their wire form: pure."""

from __future__ import annotations

import base64
from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Message
from server.requests import ChatRequest, EmbedRequest, GenerateRequest
from server.routes.checks import check_one_constraint, count_logprobs, parse_inputs, require_model
from server.routes.native.schema import (
    ChatBody,
    EmbedBody,
    EmbeddingBody,
    GenerateBody,
    MessageBody,
)
from server.routes.tools import sorted_arguments, to_tool


def to_chat_request(body: ChatBody, arrived_ns: int) -> ChatRequest:
    """Raises: BadField."""
    n_logprobs = count_logprobs(body.logprobs, body.top_logprobs)
    require_model(body.model)
    check_one_constraint(_said(body.format), body.grammar, body.regex)
    return ChatRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        format=body.format,
        grammar=body.grammar,
        regex=body.regex,
        think=body.think,
        thinking_budget=_thinking_budget(body.thinking_budget),
        truncate=body.truncate is not False,
        shift=body.shift,
        n_logprobs=n_logprobs,
        debug_render_only=body.debug_render_only,
        messages=tuple(to_message(message) for message in body.messages),
        tools=tuple(to_tool(tool) for tool in body.tools),
    )


def to_generate_request(body: GenerateBody, arrived_ns: int) -> GenerateRequest:
    """Raises: BadField."""
    check_one_constraint(_said(body.format), body.grammar, body.regex)
    return GenerateRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        format=body.format,
        grammar=body.grammar,
        regex=body.regex,
        think=body.think,
        thinking_budget=_thinking_budget(body.thinking_budget),
        truncate=body.truncate is not False,
        shift=body.shift,
        n_logprobs=count_logprobs(body.logprobs, body.top_logprobs),
        debug_render_only=body.debug_render_only,
        prompt=body.prompt,
        suffix=body.suffix,
        system=body.system,
        template=body.template,
        context=None if body.context is None else tuple(body.context),
        raw=body.raw,
        images=tuple(body.images),
    )


def _said(format_: bytes) -> bytes:
    """The field, if it says something."""
    return b"" if format_.strip() in (b"null", b'""') else format_


def _thinking_budget(n_tokens: int | None) -> int | None:
    """Negative: no limit."""
    return None if n_tokens is None or n_tokens < 0 else n_tokens


def to_embed_request(body: EmbedBody, arrived_ns: int) -> EmbedRequest:
    """Raises: BadField."""
    return EmbedRequest(
        model=body.model,
        options=body.options,
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        inputs=parse_inputs(body.input),
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
    function = {"index": call.index, "name": call.name, "arguments": sorted_arguments(call)}
    return {"id": call.id, "function": function} if call.id else {"function": function}
