"""Prompts of FunctionGemma (prompting.md 6.11): calls and responses in a model's turn, no thoughts, no images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.parsers.text import trim
from models.templates.chat import Message, Tool
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.gemma_values import Quotes

BOS = "<bos>"
_DECLARATION, _DECLARATION_END = "<start_function_declaration>", "<end_function_declaration>"
_TURN, _TURN_END = "<start_of_turn>", "<end_of_turn>\n"
_RESPONSE, _RESPONSE_END = "<start_function_response>", "<end_function_response>"
_TOOLS_FOLLOW = "You can do function calling with the following functions:"
_QUOTES = Quotes("<escape>", "<nil>")


def render_functiongemma(conversation: Conversation) -> str:
    """Instructions and declarations, then the turns."""
    messages = conversation.messages
    has_system = bool(messages) and messages[0].role in ("system", "developer")
    parts = [BOS, _head(messages[0].content if has_system else "", conversation.tools)]
    messages = messages[1:] if has_system else messages
    is_after_response = False
    for i, message in enumerate(messages):
        if message.role == "tool":
            is_asked_for = i > 0 and messages[i - 1].role == "assistant" and bool(messages[i - 1].tool_calls)
            parts.append("" if is_asked_for else _RESPONSE)
            parts.append(f"response:{_asked(messages, i)}{{{_QUOTES.string(message.content)}}}{_RESPONSE_END}")
        else:
            role = "model" if message.role == "assistant" else message.role
            goes_on = is_after_response and message.role in ("assistant", "user")
            parts.append("" if goes_on else f"{_TURN}{role}\n")
            parts.append(trim(message.content))
            parts.append(_end(messages, i))
        if message.role in ("tool", "assistant", "user"):  # Compat: other roles change nothing about that
            is_after_response = message.role == "tool"
    if not is_after_response:
        parts.append(f"{_TURN}model\n")
    return "".join(parts)


def _end(messages: Sequence[Message], i: int) -> str:
    """The calls of a message, and the end of its turn unless a response belongs to it."""
    message = messages[i]
    if message.role != "assistant" or not message.tool_calls:
        return _TURN_END
    calls = "".join(
        f"<start_function_call>call:{call.name}{_QUOTES.arguments(call.arguments)}<end_function_call>"
        for call in message.tool_calls
    )
    is_answered = i + 1 < len(messages) and messages[i + 1].role == "tool"
    return calls + (_RESPONSE if is_answered else _TURN_END)


def _asked(messages: Sequence[Message], i: int) -> str:
    """The name of the function whose result message `i` is, by its place among the results."""
    n_before = 0
    for message in reversed(messages[:i]):
        if message.role == "tool":
            n_before += 1
        elif message.role == "assistant" and message.tool_calls:
            return message.tool_calls[n_before].name if n_before < len(message.tool_calls) else ""
    return ""


def _head(system: str, tools: Sequence[Tool]) -> str:
    if not (system or tools):
        return ""
    text = trim(system)
    if tools and text != _TOOLS_FOLLOW:
        text += ("\n" if system else "") + _TOOLS_FOLLOW
    return f"{_TURN}developer\n{text}{''.join(_declaration(t['function']) for t in tools)}{_TURN_END}"


def _declaration(function: Mapping[str, Any]) -> str:
    members = [f"description:{_QUOTES.string(function.get('description', ''))}"]
    parameters = function["parameters"]
    if parameters["properties"] is not None or parameters["type"]:
        members.append("parameters:{" + ",".join(_parameters(parameters)) + "}")
    return (
        f"<start_function_declaration>declaration:{function['name']}{{{','.join(members)}}}<end_function_declaration>"
    )


def _parameters(parameters: Mapping[str, Any]) -> list[str]:
    members = []
    if properties := parameters["properties"]:
        members.append("properties:{" + ",".join(f"{n}:{_property(properties[n])}" for n in sorted(properties)) + "}")
    if parameters.get("required"):
        members.append(f"required:{_QUOTES.strings(parameters['required'])}")
    if parameters["type"]:
        members.append(f"type:{_QUOTES.string(parameters['type'].upper())}")
    return members


def _property(schema: Mapping[str, Any]) -> str:
    types = schema.get("type") or ()
    first = types if isinstance(types, str) else types[0] if types else ""
    kind = f",type:{_QUOTES.string(first.upper())}" if first else ""
    return f"{{description:{_QUOTES.string(schema.get('description', ''))}{kind}}}"
