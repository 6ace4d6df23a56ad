"""Prompts of Qwen3-Coder (prompting.md 6.1): tools and calls in XML, no thoughts, no images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.templates.chat import Message, Tool
from models.templates.go_json import compact, plain, sorted_keys
from models.templates.renderers.chatml import (
    ASSISTANT,
    END,
    XML_CALLS,
    argument_text,
    awaits_answer,
    tool_turn,
    turn,
)
from models.templates.renderers.conversation import Conversation

_DEFAULT_SYSTEM = "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."


def render_qwen3_coder(conversation: Conversation) -> str:
    """System text, tools, then the messages."""
    messages = [message for message in conversation.messages if message.role != "system"]
    system = next((m.content for m in conversation.messages if m.role == "system" and m.content), "")
    parts = []
    if system or conversation.tools:
        parts.append(turn("system", (system or _DEFAULT_SYSTEM) + _tools(conversation.tools)))
    parts += [_message(messages, i) for i in range(len(messages))]
    if awaits_answer(messages):
        parts.append(ASSISTANT)
    return "".join(parts)


def _message(messages: Sequence[Message], i: int) -> str:
    message = messages[i]
    match message.role:
        case "assistant" if message.tool_calls:
            return turn("assistant", (f"{message.content}\n" if message.content else "") + _calls(message))
        case "assistant":
            return ASSISTANT + message.content + (END if i + 1 < len(messages) else "")
        case "tool":
            return tool_turn(messages, i, message.content)
        case role:
            return turn(role, message.content)


def _calls(message: Message) -> str:
    parts = []
    for call in message.tool_calls:
        parts.append(f"\n<tool_call>\n<function={call.name}>")
        parts += [f"\n<parameter={k}>\n{argument_text(v)}\n</parameter>" for k, v in (call.arguments or {}).items()]
        parts.append("\n</function>\n</tool_call>")
    return "".join(parts)


def _tools(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    heading = "\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>"
    return heading + "".join(_tool(tool["function"]) for tool in tools) + "\n</tools>" + XML_CALLS


def _tool(function: Mapping[str, Any]) -> str:
    parts = [f"\n<function>\n<name>{function['name']}</name>"]
    if function.get("description"):
        parts.append(f"\n<description>{function['description']}</description>")
    parts.append("\n<parameters>")
    parameters = function["parameters"]
    parts += [_parameter(name, schema) for name, schema in (parameters["properties"] or {}).items()]
    parts.append(_further(parameters, ("type", "properties")))
    parts.append("\n</parameters>\n</function>")
    return "".join(parts)


def _parameter(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f"\n<parameter>\n<name>{name}</name>"]
    if types := schema.get("type"):
        parts.append(f"\n<type>{types if isinstance(types, str) else compact(types)}</type>")
    if schema.get("description"):
        parts.append(f"\n<description>{schema['description']}</description>")
    parts.append(_further(schema, ("type", "description")))
    parts.append("\n</parameter>")
    return "".join(parts)


def _further(schema: Mapping[str, Any], told: Sequence[str]) -> str:
    """Every other member of a schema. The original has them in no particular order."""
    rest = {key: value for key, value in schema.items() if key not in told and value is not None}
    return "".join(f"\n<{key}>{_member(value)}</{key}>" for key, value in rest.items())


def _member(value: Any) -> str:
    return compact(sorted_keys(value)) if isinstance(value, (dict, list)) else plain(value)
