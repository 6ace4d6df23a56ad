"""Prompts of Nemotron 3 Nano and Nemotron 3.5 Nano (prompting.md 6.9): tools and calls in XML, Python's literals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.parsers.text import trim
from models.templates.chat import Message, Tool
from models.templates.go_json import plain, python_like
from models.templates.images import ImageTags
from models.templates.renderers.chatml import ASSISTANT, END, XML_CALLS, turn
from models.templates.renderers.conversation import Conversation

_THINK, _THINK_END = "<think>", "</think>"
_NO_THOUGHTS = _THINK + _THINK_END
_SHIELD = "<_end_think>"


@dataclass(frozen=True, slots=True)
class _Version:
    """`has_switches`: `/think` and `/no_think` in a message decide, and are not printed."""

    has_switches: bool
    thought_end: str


_V3 = _Version(has_switches=True, thought_end=f"\n{_THINK_END}\n")
_V3_5 = _Version(has_switches=False, thought_end=_THINK_END)


def render_nemotron_3(conversation: Conversation) -> str:
    """With switches for thinking in the messages."""
    return _render(conversation, _V3)


def render_nemotron_3_5(conversation: Conversation) -> str:
    """With a mark on the last question for medium effort."""
    return _render(conversation, _V3_5)


def _render(conversation: Conversation, version: _Version) -> str:
    thinks = conversation.thinks(unless_said=True)
    if version.has_switches:
        thinks = _last_switch(conversation.messages, thinks)
    system, messages = _split_system(_tagged(conversation))
    if version.has_switches:
        system = _without_switches(system)
    if conversation.tools:
        system += ("\n\n" if system else "") + _tools(conversation.tools)
    last_user = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    parts = [turn("system", system)]
    for i, message in enumerate(messages):
        match message.role:
            case "assistant":
                parts.append(_answer(message, version, is_old=i < last_user))
            case "user" | "system":
                text = trim(_without_switches(message.content)) if version.has_switches else message.content
                parts.append(turn(message.role, text + (_effort(conversation, version) if i == last_user else "")))
            case "tool":
                parts.append(_result(messages, i))
            case role:
                parts.append(turn(role, message.content))
    return "".join(parts) + ASSISTANT + (f"{_THINK}\n" if thinks else _NO_THOUGHTS)


def _tagged(conversation: Conversation) -> Iterable[Message]:
    if not conversation.tags_images:
        return conversation.messages
    tags = ImageTags()
    return (replace(m, content=tags.tagged(m.content, len(m.images))) for m in conversation.messages)


def _split_system(messages: Iterable[Message]) -> tuple[str, Sequence[Message]]:
    rest = list(messages)
    return (rest[0].content, rest[1:]) if rest and rest[0].role == "system" else ("", rest)


def _last_switch(messages: Sequence[Message], thinks: bool) -> bool:
    for message in messages:
        if message.role in ("user", "system"):
            text = message.content.replace(_THINK_END, "")
            thinks = "/think" in text or (thinks and "/no_think" not in text)
    return thinks


def _without_switches(text: str) -> str:
    text = text.replace(_THINK_END, _SHIELD).replace("/think", "").replace("/no_think", "")
    return text.replace(_SHIELD, _THINK_END)


def _effort(conversation: Conversation, version: _Version) -> str:
    is_medium = conversation.think is not None and conversation.think.level == "medium"
    return "\n\n{reasoning effort: efficient}" if is_medium and not version.has_switches else ""


def _answer(message: Message, version: _Version, *, is_old: bool) -> str:
    content = message.content
    if message.thinking:
        content = f"{_THINK}\n{message.thinking}{version.thought_end}{content}"
    elif _THINK not in content and _THINK_END not in content:
        content = _NO_THOUGHTS + content
    if not message.tool_calls:
        if is_old and _THINK in content and _THINK_END in content:
            content = _NO_THOUGHTS + content.rpartition(_THINK_END)[2]
        return turn("assistant", trim(content))
    if is_old:
        content = _NO_THOUGHTS + trim(_after_thoughts(content))
    return turn("assistant", trim(content) + "\n" + "".join(_call(c.name, c.arguments) for c in message.tool_calls))


def _after_thoughts(content: str) -> str:
    if _THINK_END in content:
        return content.rpartition(_THINK_END)[2]
    return content.partition(_THINK)[0]


def _call(name: str, arguments: Mapping[str, Any] | None) -> str:
    texts = [f"<parameter={key}>\n{_literal(value)}\n</parameter>\n" for key, value in (arguments or {}).items()]
    return f"<tool_call>\n<function={name}>\n{''.join(texts)}</function>\n</tool_call>\n"


def _literal(value: Any) -> str:
    match value:
        case None | bool():
            return str(value)
        case list() | dict():
            return python_like(value)
        case _:
            return plain(value)


def _result(messages: Sequence[Message], i: int) -> str:
    """The result of a tool. Compat: one that begins the conversation is not within a turn of its own."""
    opens = i > 0 and messages[i - 1].role != "tool"
    closes = i + 1 == len(messages) or messages[i + 1].role != "tool"
    text = f"<tool_response>\n{messages[i].content}\n</tool_response>\n"
    return ("<|im_start|>user\n" if opens else "") + text + (END if closes else "")


def _tools(tools: Sequence[Tool]) -> str:
    heading = "# Tools\n\nYou have access to the following functions:\n\n<tools>"
    return heading + "".join(_tool(tool["function"]) for tool in tools) + "\n</tools>" + XML_CALLS


def _tool(function: Mapping[str, Any]) -> str:
    parameters = function["parameters"]
    parts = [f"\n<function>\n<name>{function['name']}</name>", _description(function), "\n<parameters>"]
    parts += [_parameter(name, schema) for name, schema in (parameters["properties"] or {}).items()]
    parts += [f"\n<{key}>{_literal(parameters[key])}</{key}>" for key in ("$defs", "items") if key in parameters]
    if parameters.get("required"):
        parts.append(f"\n<required>{python_like(parameters['required'])}</required>")
    parts.append("\n</parameters>\n</function>")
    return "".join(parts)


def _parameter(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f"\n<parameter>\n<name>{name}</name>"]
    if types := schema.get("type"):
        listed = types if isinstance(types, str) else "[" + ", ".join(f"'{kind}'" for kind in types) + "]"
        parts.append(f"\n<type>{listed}</type>")
    parts.append(_description(schema))
    further = ("enum", "anyOf", "items", "properties", "required")
    parts += [f"\n<{key}>{python_like(schema[key])}</{key}>" for key in further if key in schema]
    parts.append("\n</parameter>")
    return "".join(parts)


def _description(fields: Mapping[str, Any]) -> str:
    text = fields.get("description")
    return f"\n<description>{trim(text)}</description>" if text else ""
