"""Cohere's Command models.

# Compat: prompting 6.17.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.parsers.events import ToolCall
from models.templates.chat import Message, Tool
from models.templates.go_json import compact, spaced
from models.templates.renderers.conversation import Conversation

BOS = "<BOS_TOKEN>"
"""Which the prompt leaves to the tokenizer."""

_END = "<|END_OF_TURN_TOKEN|>"


def render_cohere(conversation: Conversation) -> str:
    """The prompt; an answer at the end stays open."""
    messages = conversation.messages
    has_system = bool(messages) and messages[0].role == "system"
    head = f"{messages[0].content}\n\n\n\n" if has_system and messages[0].content else ""
    turns = "".join(_turns(messages[1:] if has_system else messages))
    opening = "" if _is_begun(messages) else _opening(thinks=conversation.thinks(unless_said=True))
    return _text_turn("SYSTEM_TOKEN", head + _tools(conversation.tools)) + turns + opening


def _is_begun(messages: Sequence[Message]) -> bool:
    """Whether the last message is an answer to be continued."""
    return bool(messages) and _is_answer(messages[-1]) and not messages[-1].tool_calls


def _is_answer(message: Message) -> bool:
    return message.role in ("assistant", "chatbot")


def _turn(token: str, text: str) -> str:
    return f"<|START_OF_TURN_TOKEN|><|{token}|>{text}"


def _text_turn(token: str, text: str) -> str:
    return _turn(token, f"<|START_TEXT|>{text}<|END_TEXT|>{_END}")


def _opening(*, thinks: bool) -> str:
    return _turn("CHATBOT_TOKEN", "<|START_THINKING|>" if thinks else "<|START_THINKING|><|END_THINKING|>")


def _tools(tools: Sequence[Tool]) -> str:
    shown = ",\n\n".join(f"\n    {_tool(tool['function'])}" for tool in tools)
    return f"# Available Tools\n```json\n[\n{shown}\n\n\n]\n```"


def _tool(function: Tool) -> str:
    return (
        f'{{"name": {compact(function["name"])}, "description": {compact(function.get("description", ""))}, '
        f'"parameters": {spaced(function["parameters"])}, "responses": null}}'
    )


def _turns(messages: Sequence[Message]) -> Iterator[str]:
    calls = [call for message in messages if _is_answer(message) for call in message.tool_calls]
    numbers = {call.id: number for number, call in reversed(list(enumerate(calls))) if call.id}
    n_shown = 0
    for i, message in enumerate(messages):
        if message.role == "system":
            yield _text_turn("SYSTEM_TOKEN", message.content)
        elif message.role == "user":
            yield _text_turn("USER_TOKEN", message.content)
        elif message.role == "tool":
            yield _result(messages, i, str(numbers.get(message.tool_call_id, message.tool_call_id)))
        elif _is_answer(message) and message.tool_calls:
            yield _turn("CHATBOT_TOKEN", _thought(message, "\n            \n                "))
            yield f"<|START_ACTION|>[{_calls(message.tool_calls, n_shown)}\n\n]<|END_ACTION|>{_END}"
            n_shown += len(message.tool_calls)
        elif _is_answer(message):
            yield _turn("CHATBOT_TOKEN", _thought(message, "")) + f"<|START_TEXT|>{message.content}"
            yield "" if i == len(messages) - 1 else f"<|END_TEXT|>{_END}"


def _thought(message: Message, margin: str) -> str:
    return margin + (f"<|START_THINKING|>{message.thinking}<|END_THINKING|>" if message.thinking else "")


def _calls(calls: Sequence[ToolCall], first: int) -> str:
    return ",".join(
        f'\n\n    {{"tool_call_id": "{number}", "tool_name": "{call.name}", "parameters": {spaced(call.arguments)}}}'
        for number, call in enumerate(calls, first)
    )


def _result(messages: Sequence[Message], i: int, call_id: str) -> str:
    """The result of a tool; those that follow one another share a turn."""
    opens = i == 0 or messages[i - 1].role != "tool"
    closes = i + 1 == len(messages) or messages[i + 1].role != "tool"
    text = (
        f'\n    {{\n        "tool_call_id": "{call_id}",\n        "results": {{\n\n            \n            "0": '
        f'{spaced({"content": messages[i].content})}\n\n        }},\n        "is_error": null\n    }}'
    )
    opening = _turn("SYSTEM_TOKEN", "<|START_TOOL_RESULT|>[") if opens else ","
    return opening + text + (f"\n\n]<|END_TOOL_RESULT|>{_END}" if closes else "")
