"""Blocks of Anthropic's messages, translated.

# Compat: http-api 9.1; Ollama anthropic/anthropic.go convertMessage 0.33.
"""

from __future__ import annotations

from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Message
from registry.gojson import encode_sorted
from server.json_decoding.binary import decode_base64
from server.json_decoding.errors import Refused
from server.routes.anthropic.schema import BlockBody, MessageBody
from server.routes.v1 import Untranslatable

SEARCH_ERROR = "web_search_tool_result_error"


def to_messages(body: MessageBody) -> list[Message]:
    """One message at most, and one for each result of a tool: before what a user says, after anything else.

    Raises: Untranslatable.
    """
    role = body.role.lower()
    texts: list[str] = []
    thinking = ""
    images: list[bytes] = []
    calls: list[ToolCall] = []
    results: list[Message] = []
    for block in body.content:
        match block.type:
            case "text":
                texts.append(block.text or "")
            case "thinking" if block.thinking is not None:
                thinking = block.thinking
            case "image":
                images.append(_image(block))
            case "tool_use" | "server_tool_use":
                calls.append(_call(block))
            case "tool_result":
                results.append(_result(block))
            case "web_search_tool_result":
                results.append(Message("tool", _search_text(block.content), tool_call_id=block.tool_use_id))
            case _:
                pass  # Compat: what Ollama does not know it does not mind
    message = Message(role, "".join(texts), thinking, tuple(images), tuple(calls))
    said = [message] if message.content or thinking or images or calls else []
    return [*results, *said] if role == "user" else [*said, *results]


def _call(block: BlockBody) -> ToolCall:
    for name in ("id", "name"):
        if block.type == "tool_use" and not getattr(block, name):
            raise Untranslatable(f"tool_use block missing required '{name}' field")
    return ToolCall(block.name, block.input or {}, 0, block.id)


def _image(block: BlockBody) -> bytes:
    if block.source is None:
        raise Untranslatable("invalid image source")
    return _decode_image(block.source.type, block.source.data)


def _decode_image(source_type: str, data: str) -> bytes:
    if source_type != "base64":
        raise Untranslatable(f"invalid image source type: {source_type}. Only base64 images are supported.")
    try:
        return decode_base64(data)
    except Refused as error:
        raise Untranslatable(f"invalid base64 image data: {error}") from error


def _result(block: BlockBody) -> Message:
    """The result of a tool: a text, or texts and images."""
    parts = block.content if isinstance(block.content, list) else []
    texts = [block.content] if isinstance(block.content, str) else []
    images: list[bytes] = []
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image", "source": dict(source)}:
                images.append(_decode_image(_text_of(source, "type"), _text_of(source, "data")))
            case {"type": "image"}:
                raise Untranslatable("invalid tool_result image source")
    return Message("tool", "".join(texts), images=tuple(images), tool_call_id=block.tool_use_id)


def _text_of(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


def _search_text(content: Any) -> str:
    """What a search on the web found, for the model to read."""
    match content:
        case str():
            return content
        case {"type": "web_search_tool_result_error"}:
            return _search_error(content)
        case list():
            return _search_lines(content)
        case _:
            return encode_sorted(content).decode()


def _search_lines(items: list[Any]) -> str:
    lines: list[str] = []
    for item in items:
        match item:
            case {"type": "web_search_result"}:
                lines.append(f"- {_text_of(item, 'title')}: {_text_of(item, 'url')}\n")
            case {"type": "web_search_tool_result_error"}:
                return _search_error(item)
    return "".join(lines)


def _search_error(members: dict[str, Any]) -> str:
    code = _text_of(members, "error_code")
    return f"{SEARCH_ERROR}: {code}" if code else SEARCH_ERROR
