"""From a request for a response to a chat: pure.

# Compat: http-api 8.6; Ollama openai/responses.go FromResponsesRequest 0.33.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Message, Tool
from registry.gojson import encode_sorted
from server.json_decoding.errors import DecodeError
from server.requests import ChatRequest
from server.routes.extras import extra_members, extra_options, extra_think, said
from server.routes.openai.formats import JSON_MODE, named_schema
from server.routes.openai.images import decode_image
from server.routes.openai.responses.items import (
    CallItem,
    FilePart,
    ImagePart,
    Item,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
    SearchItem,
    TextPart,
)
from server.routes.openai.responses.schema import ResponseBody, ToolBody
from server.routes.openai.tool_choice import read_tool_choice
from server.routes.openai.translate import to_think
from server.routes.tools import ParametersBody, ToolFunctionBody, parse_arguments, parse_parameters, to_tool
from server.routes.tools import ToolBody as NativeToolBody
from server.routes.v1 import Untranslatable

WEB_SEARCH = "web_search"


def to_chat_request(body: ResponseBody, arrived_ns: int) -> ChatRequest:
    """Raises: Untranslatable, BadField."""
    messages = _messages(body)
    think = to_think(body.reasoning.effort) or extra_think(body)
    tools, choice = read_tool_choice(body.tool_choice, list(_tools(body.tools)))
    request = ChatRequest(
        **extra_members(body, _format(body)),
        model=body.model,
        options=_options(body),
        arrived_ns=arrived_ns,
        think=think,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls is not False,
    )
    return replace(request, truncate=True) if body.truncation == "auto" else request


def _options(body: ResponseBody) -> dict[str, Any]:
    """# Compat: temperature is 1 unless the request says otherwise; top_p, unlike in chats, is the model's."""
    named = {"temperature": body.temperature, "top_p": body.top_p, "num_predict": body.max_output_tokens}
    return {"temperature": 1.0} | extra_options(body) | said(named)


def _format(body: ResponseBody) -> bytes:
    wanted = body.text.format if body.text else None
    match wanted.type if wanted else "":
        case "json_object":
            return JSON_MODE
        case "json_schema" if wanted:
            return named_schema(wanted.schema, wanted.name, strict=wanted.strict is True)
        case _:
            return b""


# ---- messages ------------------------------------------------------------------------------------------------------


def _messages(body: ResponseBody) -> tuple[Message, ...]:
    found = [Message("system", body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        return (*found, Message("user", body.input)) if body.input else tuple(found)
    return tuple(_with_items(found, body.input or ()))


def _with_items(messages: list[Message], items: Iterable[Item]) -> list[Message]:
    """`messages` and what the items add; thoughts wait for the next thing that the assistant says or does."""
    thoughts = ""
    for item in items:
        match item:
            case ReasoningItem():
                thoughts = item.encrypted_content
            case MessageItem():
                message = _message(item.role, item.content)
                if item.role == "assistant" and thoughts:
                    message, thoughts = replace(message, thinking=thoughts), ""
                messages.append(message)
            case CallItem():
                _add_call(messages, item, thoughts)
                thoughts = ""
            case OutputItem():
                messages.append(replace(_message("tool", item.content), tool_call_id=item.call_id))
            case SearchItem():
                pass
    if thoughts:
        messages.append(Message("assistant", thinking=thoughts))
    return messages


def _add_call(messages: list[Message], item: CallItem, thoughts: str) -> None:
    """To the assistant's message that was just made, or as a message of its own."""
    call = ToolCall(item.name, _arguments(item.arguments), 0, item.call_id)
    if not messages or messages[-1].role != "assistant":
        messages.append(Message("assistant", thinking=thoughts, tool_calls=(call,)))
        return
    last = messages[-1]
    messages[-1] = replace(last, tool_calls=(*last.tool_calls, call), thinking=thoughts or last.thinking)


def _arguments(text: str) -> dict[str, Any]:
    try:
        return parse_arguments(text) if text else {}
    except DecodeError as error:
        raise Untranslatable(f"failed to parse function call arguments: {error}") from error


def _message(role: str, content: str | Sequence[Part]) -> Message:
    if isinstance(content, str):
        return Message(role.lower(), content)
    texts: list[str] = []
    images: list[bytes] = []
    for part in content:
        match part:
            case TextPart():
                texts.append(part.text)
            case ImagePart(image_url=""):
                pass  # one that is named by an id, which only OpenAI can look up
            case ImagePart():
                images.append(decode_image(part.image_url))
            case FilePart():
                raise Untranslatable("file inputs are not currently supported")
    return Message(role.lower(), "".join(texts), images=tuple(images))


# ---- tools ---------------------------------------------------------------------------------------------------------


def _tools(bodies: Sequence[ToolBody]) -> Iterator[Tool]:
    """# Compat: a search on the web is a function to the model, and no other function may have its name."""
    searches = any(body.type == WEB_SEARCH for body in bodies)
    for body in bodies:
        if body.type == WEB_SEARCH:
            yield SEARCH_TOOL
            continue
        for tool in _functions(body):
            if not (searches and tool.function.name == WEB_SEARCH):
                yield to_tool(tool)


def _functions(body: ToolBody) -> Iterator[NativeToolBody]:
    """The function that a declaration is, or those of a namespace, under its name."""
    if body.type != "namespace":
        function = ToolFunctionBody(body.name, body.description or "", _parameters(body))
        yield NativeToolBody(body.type, None, function)
        return
    prefix = f"{body.name}." if body.name else ""
    for inner in body.tools:
        for tool in _functions(inner):
            if not tool.function.name.startswith(prefix):
                tool.function.name = prefix + tool.function.name
            yield tool


def _parameters(body: ToolBody) -> ParametersBody:
    """# Compat: the schema passes through a Go map, so its keys are sorted from here on."""
    try:
        return parse_parameters(b"" if body.parameters is None else encode_sorted(body.parameters))
    except DecodeError as error:
        raise Untranslatable(f"failed to unmarshal tool parameters: {error}") from error


SEARCH_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": WEB_SEARCH,
        "description": "Search the web for current information.",
        "parameters": {
            "type": "object",
            "required": ["query"],
            "properties": {"query": {"type": "string", "description": "The search query."}},
        },
    },
}
