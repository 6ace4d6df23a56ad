"""Prompts of Poolside's models, Laguna and the layout called poolside-v1 (prompting.md 6.15, 6.16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.parsers.text import rtrim, trim
from models.templates.chat import Message, Tool
from models.templates.go_json import spaced
from models.templates.renderers.conversation import Conversation

BOS = "〈|EOS|〉"
_DEFAULT_SYSTEM = (
    "You are a helpful, conversationally-fluent assistant made by Poolside. You are here to be helpful to users "
    "through natural language conversations."
)
_TOOLS = """### Tools

You may call functions to assist with the user query.
All available function signatures are listed below:
<available_tools>
"""
_HOW_TO_CALL = """For each function call, return an unescaped XML-like object with function name and arguments within \
'<tool_call>' and '</tool_call>' tags, like here:
"""
_CALL_EXAMPLE = """<tool_call>function-name
<arg_key>argument-key</arg_key>
<arg_value>value-of-argument-key</arg_value>
</tool_call>"""
_HOW_TO_THINK = "Wrap your thinking in '<think>', '</think>' tags, followed by a function call. "


def render_laguna(conversation: Conversation) -> str:
    """A line for each part; an answer at the end is continued."""
    thinks = conversation.thinks(unless_said=False)
    system, messages = _split_system(conversation.messages)
    parts = [BOS, _laguna_head(system, conversation.tools, thinks=thinks)]
    for i, message in enumerate(messages):
        match message.role:
            case "user" | "system" as role:
                parts.append(f"<{role}>\n{message.content}\n</{role}>\n")
            case "tool":
                parts.append(f"<tool_response>\n{message.content}\n</tool_response>\n")
            case "assistant":
                parts.append(_laguna_answer(message))
                goes_on = i + 1 == len(messages) and (message.content or message.thinking or message.tool_calls)
                parts.append("" if goes_on else "</assistant>\n")
    if not messages or messages[-1].role != "assistant":
        parts.append("<assistant>\n" + ("<think>" if thinks else "</think>"))
    return "".join(parts)


def _laguna_head(system: str, tools: Sequence[Tool], *, thinks: bool) -> str:
    text = rtrim(system)
    if not (text or tools):
        return ""
    parts = ["<system>\n", f"\n{text}" if text else ""]
    if tools:
        how = _HOW_TO_CALL
        if thinks:
            how = f"{_HOW_TO_THINK}{_HOW_TO_CALL}<think> your thoughts here </think>\n"
        parts.append(f"\n\n{_TOOLS}{_lines(tools)}</available_tools>\n\n{how}{_CALL_EXAMPLE}")
    return "".join(parts) + "\n</system>\n"


def _laguna_answer(message: Message) -> str:
    thoughts, content = message.thinking, message.content
    if "</think>" in content:
        if not thoughts:
            thoughts = content.partition("</think>")[0].rstrip("\n").rpartition("<think>")[2].lstrip("\n")
        content = content.rpartition("</think>")[2].lstrip("\n")
    thoughts, content = trim(thoughts), trim(content)
    parts = ["<assistant>\n", f"<think>\n{thoughts}\n</think>\n" if thoughts else "</think>\n"]
    parts.append(f"{content}\n" if content else "")
    for call in message.tool_calls:
        parts.append(f"<tool_call>{call.name}\n")
        parts += [f"{key}\n{value}\n" for key, value in _arguments(call.arguments)]
        parts.append("</tool_call>\n")
    return "".join(parts)


def render_poolside_v1(conversation: Conversation) -> str:
    """Everything of a message on one line; every answer is closed."""
    thinks = conversation.thinks(unless_said=False)
    system, messages = _split_system(conversation.messages)
    parts = [BOS, _poolside_head(system, conversation.tools, thinks=thinks)]
    for message in messages:
        match message.role:
            case "user" | "system" as role:
                parts.append(f"<{role}>{message.content}</{role}>\n")
            case "tool":
                parts.append(f"<tool_response>{message.content}</tool_response>\n")
            case "assistant":
                parts.append(_poolside_answer(message, thinks=thinks))
    parts.append("<assistant>" + ("<think>" if thinks else "</think>"))
    return "".join(parts)


def _poolside_head(system: str, tools: Sequence[Tool], *, thinks: bool) -> str:
    text = rtrim(system)
    if not (text or tools or thinks):
        return ""
    tool_text = f"{_TOOLS}{_lines(tools)}</available_tools>" if tools else ""
    between = "\n\n" if text and tools else ""
    return f"<system>{text}{between}{tool_text}</system>\n"


def _poolside_answer(message: Message, *, thinks: bool) -> str:
    parts = ["<assistant>", f"<think>{message.thinking}</think>" if thinks else "</think>", message.content]
    for call in message.tool_calls:
        parts.append(f"<tool_call>{call.name}")
        parts += [key + value for key, value in _arguments(call.arguments)]
        parts.append("</tool_call>")
    return "".join(parts) + "</assistant>\n"


def _split_system(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    if messages and messages[0].role == "system":
        return messages[0].content, messages[1:]
    return _DEFAULT_SYSTEM, messages


def _arguments(arguments: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    for key, value in (arguments or {}).items():
        text = value if isinstance(value, str) else spaced(value)
        yield f"<arg_key>{key}</arg_key>", f"<arg_value>{text}</arg_value>"


def _lines(tools: Sequence[Tool]) -> str:
    return "".join(f"{spaced(tool)}\n" for tool in tools)
