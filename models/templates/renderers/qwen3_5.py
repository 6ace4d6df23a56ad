"""Prompts of Qwen3.5, Ornith and Qwen3.8 (prompting.md 6.4): calls in XML, thoughts as part of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.parsers.text import trim
from models.templates.chat import Message, Think, Tool
from models.templates.errors import TemplateError
from models.templates.go_json import spaced
from models.templates.renderers.chatml import (
    ASSISTANT,
    END,
    XML_CALLS,
    argument_text,
    awaits_answer,
    is_query,
    last_query,
    pictured_contents,
    tool_turn,
    turn,
)
from models.templates.renderers.conversation import Conversation

_MUCH_EFFORT = (
    "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
    "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
)
_LITTLE_EFFORT = (
    "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the conclusion without "
    "unnecessary elaboration."
)


@dataclass(frozen=True, slots=True)
class _Variant:
    """`shows_all_thoughts`: also those of earlier turns, and of chats that do not think."""

    shows_all_thoughts: bool = False
    finds_thoughts_in_content: bool = True
    prints_empty_system: bool = True
    prints_other_roles: bool = False


_QWEN3_5 = _Variant()
_ORNITH = _Variant(shows_all_thoughts=True)
_QWEN3_8 = _Variant(
    shows_all_thoughts=True, finds_thoughts_in_content=False, prints_empty_system=False, prints_other_roles=True
)


def render_qwen3_5(conversation: Conversation) -> str:
    """Thoughts of the current turn only."""
    return _render(conversation, _QWEN3_5)


def render_ornith(conversation: Conversation) -> str:
    """Thoughts of every turn."""
    return _render(conversation, _ORNITH)


def render_qwen3_8(conversation: Conversation) -> str:
    """Thoughts of every turn, instructions on effort, one system message. Raises: TemplateError."""
    if not conversation.messages:
        raise TemplateError("no messages provided")
    messages = _with_one_system(conversation.messages)
    conversation = replace(conversation, messages=messages)
    contents = [trim(content) for content in pictured_contents(conversation)]
    if not any(map(is_query, messages, contents)):
        raise TemplateError("no user query found in messages")
    return _render(conversation, _QWEN3_8, _effort(conversation.think))


def _effort(think: Think | None) -> str:
    if think is None or think.level in ("high", "max"):
        return _MUCH_EFFORT
    return _LITTLE_EFFORT if think.level == "low" else ""


def _with_one_system(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with all instructions in one system message at the head."""
    instructions = [message for message in messages if message.role in ("system", "developer")]
    for message in instructions:
        if message.images:
            raise TemplateError(f"{message.role} message cannot contain images")
    if not instructions or (len(instructions) == 1 and messages[0].role == "system"):
        return messages
    texts = [trim(message.content) for message in instructions]
    rest = [message for message in messages if message.role not in ("system", "developer")]
    return [Message("system", "\n\n".join(text for text in texts if text)), *rest]


def _render(conversation: Conversation, variant: _Variant, effort: str = "") -> str:
    messages = conversation.messages
    thinks = conversation.thinks(unless_said=True)
    contents = [trim(content) for content in pictured_contents(conversation)]
    thoughts_from = last_query(messages, contents) + 1 if thinks else len(messages)
    if variant.shows_all_thoughts:
        thoughts_from = 0
    system = contents[0] if messages and messages[0].role == "system" else None
    parts = [_system(system, conversation.tools, effort, prints_empty=variant.prints_empty_system)]
    for i, message in enumerate(messages):
        match message.role:
            case "system" if i == 0:
                pass
            case "user" | "system":
                parts.append(turn(message.role, contents[i]))
            case "assistant":
                parts.append(_answer(message, contents[i], variant, shows_thoughts=i >= thoughts_from))
                parts.append(END if i + 1 < len(messages) else "")
            case "tool":
                parts.append(tool_turn(messages, i, contents[i]))
            case role if variant.prints_other_roles:
                parts.append(turn(role, contents[i]))
    if awaits_answer(messages):
        parts.append(ASSISTANT + ("<think>\n" if thinks else "<think>\n\n</think>\n\n"))
    return "".join(parts)


def _system(content: str | None, tools: Sequence[Tool], effort: str, *, prints_empty: bool) -> str:
    if tools:
        heading = "# Tools\n\nYou have access to the following functions:\n\n<tools>\n"
        tool_texts = heading + "".join(f"{spaced(tool)}\n" for tool in tools) + "</tools>" + XML_CALLS
        return turn("system", _paragraphs(effort, tool_texts, content))
    text = _paragraphs(effort, content)
    return turn("system", text) if text or (content is not None and prints_empty) else ""


def _paragraphs(*texts: str | None) -> str:
    return "\n\n".join(text for text in texts if text)


def _answer(message: Message, content: str, variant: _Variant, *, shows_thoughts: bool) -> str:
    """An answer up to its last call."""
    thoughts = ""
    if shows_thoughts and message.thinking:
        thoughts = trim(message.thinking)
    elif variant.finds_thoughts_in_content:
        thoughts, content = _split_thoughts(content)
    parts = [ASSISTANT, f"<think>\n{thoughts}\n</think>\n\n" if shows_thoughts else "", content]
    for i, call in enumerate(message.tool_calls):
        parts.append("\n" if i > 0 else "\n\n" if trim(content) else "")
        parts.append(f"<tool_call>\n<function={call.name}>\n")
        parts += [f"<parameter={k}>\n{argument_text(v)}\n</parameter>\n" for k, v in (call.arguments or {}).items()]
        parts.append("</function>\n</tool_call>")
    return "".join(parts)


def _split_thoughts(content: str) -> tuple[str, str]:
    """The thoughts that a content begins with, and the rest of it."""
    before, closing, after = content.partition("</think>")
    if not closing:
        return "", content
    return trim(before.rpartition("<think>")[2]), after.lstrip("\n")
