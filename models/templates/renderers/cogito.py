# ruff: noqa: RUF001
# The tokens of these models are written with a fullwidth bar.
"""Cogito.

# Compat: prompting 6.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.parsers.events import ToolCall
from models.templates.chat import Message
from models.templates.go_json import compact, indented
from models.templates.renderers.conversation import Conversation

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"

_DEEP_THINKING = "Enable deep thinking subroutine.\n\n"
_PERSONA = "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab based in San Francisco."


def render_cogito(conversation: Conversation) -> str:
    """The prompt; an answer at the end is closed, and a new one begun."""
    messages = conversation.messages
    has_system = bool(messages) and messages[0].role == "system"
    thinks = conversation.thinks(unless_said=False)
    head = _head(messages[0].content if has_system else "", thinks=thinks)
    turns = "".join(_turns(messages[1:] if has_system else messages))
    opening = ("" if _ends_with_question(messages) else "<｜Assistant｜>") + ("<think>\n" if thinks else "")
    return BOS + head + _tools(conversation) + turns + opening


def _head(system: str, *, thinks: bool) -> str:
    if not thinks:
        return _PERSONA + (f"\n\n{system}" if system else "")
    return _DEEP_THINKING + _PERSONA + (f"\n\n{system}\n\n" if system else "")


def _tools(conversation: Conversation) -> str:
    if not conversation.tools:
        return ""
    shown = "".join(f"```json\n{indented(tool)}\n```\n" for tool in conversation.tools)
    return "\nYou have the following functions available:\n" + shown


def _ends_with_question(messages: Sequence[Message]) -> bool:
    shown = [message.role for message in messages if message.role in ("user", "assistant", "tool")]
    return shown[-1:] == ["user"]


def _turns(messages: Sequence[Message]) -> Iterator[str]:
    for i, message in enumerate(messages):
        match message.role:
            case "user":
                yield f"<｜User｜>{message.content}<｜Assistant｜>"
            case "assistant":
                yield message.content + _calls(message.tool_calls) + EOS
            case "tool":
                is_first = i == 0 or messages[i - 1].role != "tool"
                is_last = i == len(messages) - 1 or messages[i + 1].role != "tool"
                yield "<｜tool▁outputs▁begin｜>" if is_first else "\n"
                yield f"<｜tool▁output▁begin｜>{message.content}<｜tool▁output▁end｜>"
                yield "<｜tool▁outputs▁end｜>" if is_last else ""


def _calls(calls: Sequence[ToolCall]) -> str:
    if not calls:
        return ""
    shown = "\n".join(
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{call.name}\n```json\n{compact(call.arguments)}\n```"
        "<｜tool▁call▁end｜>"
        for call in calls
    )
    return f"<｜tool▁calls▁begin｜>{shown}<｜tool▁calls▁end｜>"
