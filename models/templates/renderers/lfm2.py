"""LFM2, and the one that thinks.

# Compat: prompting 6.14.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.parsers.events import ToolCall
from models.parsers.text import trim
from models.templates.chat import Message, Tool
from models.templates.go_json import spaced_raw, spaced_raw_function
from models.templates.images import ImageTags
from models.templates.renderers.chatml import ASSISTANT, END, turn
from models.templates.renderers.conversation import Conversation

BOS = "<|startoftext|>"

_PICTURE = "<image>"
_CALLS_BEGIN, _CALLS_END = "<|tool_call_start|>", "<|tool_call_end|>"
_RESULT_BEGIN, _RESULT_END = "<|tool_response_start|>", "<|tool_response_end|>"


def _renderer(*, shows_thoughts: bool) -> Callable[[Conversation], str]:
    """`shows_thoughts`: whether thoughts are written into answers, and those of earlier ones may stay."""

    def render(conversation: Conversation) -> str:
        messages, contents = conversation.messages, _contents(conversation)
        has_system = bool(messages) and messages[0].role == "system"
        head = messages[0].content if has_system else ""
        tools = _tools(conversation.tools)
        head += ("\n" if head and tools else "") + tools
        keeps = shows_thoughts and conversation.thinks(unless_said=False)
        last_answer = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
        parts = [BOS, turn("system", head) if head else ""]
        for i in range(int(has_system), len(messages)):
            text = _text(messages[i], contents[i], shows_thoughts=shows_thoughts)
            if messages[i].role == "assistant" and not keeps and i != last_answer:
                text = _without_thought(text)
            parts.append(f"<|im_start|>{messages[i].role}\n{text}{END}")
        if last_answer == len(messages) - 1 and messages:
            return "".join(parts).removesuffix(END)
        return "".join(parts) + ASSISTANT

    return render


render_lfm2 = _renderer(shows_thoughts=False)
render_lfm2_thinking = _renderer(shows_thoughts=True)


def _contents(conversation: Conversation) -> list[str]:
    """The contents with marks for images."""
    tags = ImageTags()
    if conversation.tags_images:
        return [tags.tagged(message.content, len(message.images)) for message in conversation.messages]
    return [
        message.content if _PICTURE in message.content else _PICTURE * len(message.images) + message.content
        for message in conversation.messages
    ]


def _tools(tools: Sequence[Tool]) -> str:
    shown = ", ".join(map(_tool, tools))
    return f"List of tools: <|tool_list_start|>[{shown}]<|tool_list_end|>" if tools else ""


def _tool(tool: Tool) -> str:
    if tool["function"]["name"]:
        return spaced_raw_function(tool["function"])
    encoders = {"function": spaced_raw_function}
    members = (f"{spaced_raw(key)}: {encoders.get(key, spaced_raw)(value)}" for key, value in tool.items())
    return "{" + ", ".join(members) + "}"


def _text(message: Message, text: str, *, shows_thoughts: bool) -> str:
    if message.role == "tool" and _RESULT_BEGIN not in text:
        return _RESULT_BEGIN + text + _RESULT_END
    if message.role != "assistant":
        return text
    if message.tool_calls and _CALLS_BEGIN not in text:
        text = _calls(message.tool_calls) + (f"\n{text}" if trim(text) else text)
    if shows_thoughts and message.thinking and "</think>" not in text:
        text = f"<think>{message.thinking}</think>{text}"
    return text


def _calls(calls: Sequence[ToolCall]) -> str:
    return _CALLS_BEGIN + "[" + ",".join(map(_call, calls)) + "]" + _CALLS_END


def _call(call: ToolCall) -> str:
    arguments = sorted((call.arguments or {}).items())
    return f"{call.name}({','.join(f'{key}={spaced_raw(value)}' for key, value in arguments)})"


def _without_thought(text: str) -> str:
    _, tag, answer = text.rpartition("</think>")
    return trim(answer) if tag else text
