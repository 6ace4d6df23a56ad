"""From the body of a request for a message to a chat: pure.

# Compat: http-api 9.1; Ollama anthropic/anthropic.go FromMessagesRequest 0.33.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.templates.chat import Message, Think, Tool
from registry.gojson import quote
from server.json_decoding.errors import DecodeError
from server.requests import ChatRequest, ToolChoice, ToolUse
from server.routes.anthropic.blocks import to_messages
from server.routes.anthropic.schema import MessagesBody, ThinkingBody, ToolBody, ToolChoiceBody
from server.routes.checks import MODEL_REQUIRED
from server.routes.extras import MAX_BUDGET, extra_members, extra_options, extra_think, said
from server.routes.tools import ParametersBody, ToolFunctionBody, parse_parameters, to_tool
from server.routes.tools import ToolBody as NativeToolBody
from server.routes.v1 import Untranslatable

EFFORTS = {level: Think(True, level) for level in ("low", "medium", "high", "max")} | {"xhigh": Think(True, "high")}
WEB_SEARCH = "web_search"


def to_chat_request(body: MessagesBody, arrived_ns: int) -> ChatRequest:
    """Raises: Untranslatable."""
    _require(bool(body.model), MODEL_REQUIRED)
    _require(body.max_tokens > 0, "max_tokens is required and must be positive")
    return to_prompt_request(body, arrived_ns)


def to_prompt_request(body: MessagesBody, arrived_ns: int) -> ChatRequest:
    """The same where nothing is to be generated. Raises: Untranslatable, BadField."""
    _require(bool(body.model), MODEL_REQUIRED)
    _require(bool(body.messages), "messages is required")
    messages = _system(body.system)
    for message in body.messages:
        messages += to_messages(message)
    choice = body.tool_choice
    return ChatRequest(
        **extra_members(body, b"", _budget(body.thinking)),
        model=body.model,
        options=_options(body),
        arrived_ns=arrived_ns,
        think=_think(body) or extra_think(body),
        think_if_able=True,
        messages=tuple(messages),
        tools=tuple(_tools(body.tools)),
        tool_choice=_tool_choice(choice) if choice else ToolChoice(),
        parallel_tool_calls=choice is None or not choice.disable_parallel_tool_use,
    )


def asks_for_cache(body: MessagesBody) -> bool:
    """Whether anything is marked to be cached, as Anthropic wants it before it caches, and tells what it has cached."""
    system = body.system if isinstance(body.system, list) else []
    marks = [body.cache_control]
    marks += (block.get("cache_control") for block in system if isinstance(block, dict))
    marks += (tool.cache_control for tool in body.tools)
    marks += (block.cache_control for message in body.messages for block in message.content)
    return any(mark is not None for mark in marks)


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise Untranslatable(text)


def _options(body: MessagesBody) -> dict[str, Any]:
    """# Compat: unlike in OpenAI's dialect, the model's parameters hold where the request says nothing."""
    named = {
        "num_predict": body.max_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": body.stop_sequences or None,
    }
    return extra_options(body) | said(named)


def _system(value: Any) -> list[Message]:
    match value:
        case str():
            text = value
        case list():
            texts = (block.get("text") for block in value if isinstance(block, dict) and block.get("type") == "text")
            text = "".join(text for text in texts if isinstance(text, str))
        case _:
            text = ""
    return [Message("system", text)] if text else []


def _think(body: MessagesBody) -> Think | None:
    match body.thinking.type if body.thinking else "":
        case "enabled":
            return Think(True)
        case "disabled":
            return Think(False)
        case _:
            return EFFORTS.get(body.output_config.effort.strip().lower()) if body.output_config else None


def _budget(thinking: ThinkingBody | None) -> int | None:
    """Tokens that a reply may think; None where nothing is said of it. Ollama ignores it."""
    if thinking is None or thinking.type != "enabled" or not thinking.budget_tokens:
        return None
    _require(0 < thinking.budget_tokens <= MAX_BUDGET, "thinking.budget_tokens must be a number of tokens")
    return thinking.budget_tokens


def _tool_choice(body: ToolChoiceBody) -> ToolChoice:
    """Ollama ignores it."""
    match body.type:
        case "auto":
            return ToolChoice()
        case "none":
            return ToolChoice(ToolUse.NONE)
        case "any":
            return ToolChoice(ToolUse.REQUIRED)
        case "tool" if body.name:
            return ToolChoice(ToolUse.REQUIRED, body.name)
        case _:
            raise Untranslatable('invalid tool_choice (must be "auto", "any", "none", or "tool" with a name)')


# ---- tools ---------------------------------------------------------------------------------------------------------


def _tools(bodies: list[ToolBody]) -> Iterator[Tool]:
    """# Compat: a search on the web is a function to the model, and no other function may have its name."""
    searches = any(is_search(body) for body in bodies)
    for body in bodies:
        if is_search(body):
            yield SEARCH_TOOL
        elif not (searches and body.name == WEB_SEARCH):
            function = ToolFunctionBody(body.name, body.description, _parameters(body))
            yield to_tool(NativeToolBody("function", None, function))


def is_search(body: ToolBody) -> bool:
    """Whether this is Anthropic's own search on the web, of any version."""
    return body.type.startswith(WEB_SEARCH)


def _parameters(body: ToolBody) -> ParametersBody:
    try:
        return parse_parameters(body.input_schema)
    except DecodeError as error:
        raise Untranslatable(f"invalid input_schema for tool {quote(body.name)}: {error}") from error


SEARCH_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": WEB_SEARCH,
        "description": (
            "Search the web for current information. Use this to find up-to-date information about any topic."
        ),
        "parameters": {
            "type": "object",
            "required": ["query"],
            "properties": {"query": {"type": "string", "description": "The search query to look up on the web"}},
        },
    },
}
