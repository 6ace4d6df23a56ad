"""Messages of a chat completion, translated.

# Compat: http-api 8.2; Ollama openai/openai.go FromChatRequest 0.33: every part of a list becomes a message of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Message
from server.json_decoding.binary import decode_base64
from server.json_decoding.errors import DecodeError, Refused
from server.routes.openai.images import decode_image
from server.routes.openai.schema import MessageBody, ToolCallBody
from server.routes.tools import parse_arguments
from server.routes.v1 import Untranslatable

INVALID_PART = "invalid message format"


def to_messages(bodies: Sequence[MessageBody]) -> tuple[Message, ...]:
    """Raises: Untranslatable."""
    messages: list[Message] = []
    for body in bodies:
        match body.content:
            case str():
                messages.append(_whole_message(body, body.content, _tool_name(body, bodies)))
            case list():
                messages += (_part_message(body.role.lower(), part) for part in body.content)
                if messages and body.tool_calls:
                    messages[-1] = _with_calls(messages[-1], body, _tool_name(body, bodies))
            case _ if body.tool_calls is None:
                raise Untranslatable(f"invalid message content type: {go_type_of(body.content)}")
            case _:
                messages.append(_whole_message(body, "", ""))
    return tuple(messages)


def _whole_message(body: MessageBody, content: str, tool_name: str) -> Message:
    return Message(
        role=body.role.lower(),
        content=content,
        thinking=body.reasoning,
        tool_calls=to_tool_calls(body.tool_calls or ()),
        tool_name=tool_name,
        tool_call_id=body.tool_call_id,
    )


def _with_calls(last: Message, body: MessageBody, tool_name: str) -> Message:
    return replace(
        last,
        thinking=body.reasoning,
        tool_calls=to_tool_calls(body.tool_calls or ()),
        tool_name=tool_name,
        tool_call_id=body.tool_call_id,
    )


def _tool_name(body: MessageBody, bodies: Sequence[MessageBody]) -> str:
    """The name of the tool whose result a message is: said, or that of the latest call with its id."""
    if body.role.lower() != "tool":
        return ""
    if body.name or not body.tool_call_id:
        return body.name
    calls = (call for other in reversed(bodies) for call in other.tool_calls or ())
    return next((call.function.name for call in calls if call.id == body.tool_call_id), "")


def to_tool_calls(bodies: Iterable[ToolCallBody]) -> tuple[ToolCall, ...]:
    """Raises: Untranslatable where arguments are not the text of a JSON object."""
    try:
        return tuple(
            ToolCall(body.function.name, parse_arguments(body.function.arguments), 0, body.id) for body in bodies
        )
    except DecodeError as error:
        raise Untranslatable("invalid tool call arguments") from error


def _part_message(role: str, part: Any) -> Message:
    match part:
        case {"type": "text", "text": str(text)}:
            return Message(role, text)
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return Message(role, images=(decode_image(url),))
        case {"type": "input_audio"}:
            return Message(role, images=(_decode_audio(part.get("input_audio")),))
        case _:
            raise Untranslatable(INVALID_PART)


def _decode_audio(audio: Any) -> bytes:
    if not isinstance(audio, dict):
        raise Untranslatable("invalid input_audio format")
    data = audio.get("data")
    if not isinstance(data, str):
        raise Untranslatable("invalid input_audio format: missing data")
    try:
        return decode_base64(data)
    except Refused as error:
        raise Untranslatable(f"invalid input_audio base64 data: {error}") from error


def go_type_of(value: Any) -> str:
    """What Go calls the type of a decoded value. # Compat: Go fmt, %T."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int() | float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"
