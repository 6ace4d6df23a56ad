"""Prompts of GLM 4.6, GLM 4.7 and GLM OCR (prompting.md 6.12, 6.13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.parsers.events import ToolCall
from models.parsers.text import trim
from models.templates.chat import Message, Tool
from models.templates.go_json import compact, spaced
from models.templates.images import ImageTags
from models.templates.renderers.conversation import Conversation

_START = "[gMASK]<sop>"
_TOOLS_BEFORE = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
"""
_TOOLS_AFTER = """</tools>

For each function call, output the function name and arguments within the following XML format:
"""
_CALL_FORM = (
    "<tool_call>{function-name}",
    "<arg_key>{arg-key-1}</arg_key>",
    "<arg_value>{arg-value-1}</arg_value>",
    "<arg_key>{arg-key-2}</arg_key>",
    "<arg_value>{arg-value-2}</arg_value>",
    "...",
    "</tool_call>",
)


def render_glm_4_6(conversation: Conversation) -> str:
    """Every part begins a line; thoughts only behind the last question.

    The layout of the published model. # Compat: prompting 6.12: no name of a renderer stands for it.
    """
    messages = conversation.messages
    is_mute = not conversation.thinks(unless_said=True)
    last_user = max((i for i, message in enumerate(messages) if message.role == "user"), default=0)
    parts = [_START, _tools(conversation.tools, encode=compact, separator="\n")]
    for i, message in enumerate(messages):
        match message.role:
            case "system":
                parts.append(f"<|system|>\n{message.content}")
            case "user":
                parts.append(f"<|user|>\n{message.content}{_mute_mark(message) if is_mute else ''}")
            case "assistant":
                thoughts = f"\n<think>{message.thinking}</think>" if i > last_user else ""
                text = f"\n{message.content}" if message.content else ""
                calls = "".join("\n" + _call(call, separator="\n") for call in message.tool_calls)
                parts.append(f"<|assistant|>{thoughts}{text}{calls}")
            case "tool":
                parts.append(_observation(messages, i) + f"\n<tool_response>\n{message.content}\n</tool_response>")
    parts.append("<|assistant|>" + ("\n<think></think>\n" if is_mute else ""))
    return "".join(parts)


def render_glm_4_7(conversation: Conversation) -> str:
    """Everything on one line."""
    messages = conversation.messages
    parts = [_START, _tools(conversation.tools)]
    for i, message in enumerate(messages):
        match message.role:
            case "system" | "user" as role:
                parts.append(f"<|{role}|>{message.content}")
            case "assistant":
                thoughts = f"<think>{message.thinking}</think>" if message.thinking else "</think>"
                calls = "".join(map(_call, message.tool_calls))
                parts.append(f"<|assistant|>{thoughts}{message.content}{calls}")
            case "tool":
                parts.append(_observation(messages, i) + f"<tool_response>{message.content}</tool_response>")
    parts.append("<|assistant|>" + ("<think>" if conversation.thinks(unless_said=True) else "</think>"))
    return "".join(parts)


def render_glm_ocr(conversation: Conversation) -> str:
    """A line for each part; a mark on every question when not to think."""
    messages = conversation.messages
    is_mute = not conversation.thinks(unless_said=True)
    tags = ImageTags()
    parts = [_START, _tools(conversation.tools)]
    for i, message in enumerate(messages):
        content = message.content
        if conversation.tags_images:
            content = tags.tagged(content, len(message.images))
        match message.role:
            case "system":
                parts.append(f"<|system|>\n{message.content}\n")
            case "user":
                parts.append(f"<|user|>\n{content}{_mute_mark(message) if is_mute else ''}")
            case "assistant":
                parts.append(_answer(message))
            case "tool":
                parts.append(_observation(messages, i) + f"\n<tool_response>\n{content}\n</tool_response>\n")
    parts.append("<|assistant|>\n" + ("<think></think>\n" if is_mute else ""))
    return "".join(parts)


def _mute_mark(message: Message) -> str:
    return "" if message.content.endswith("/nothink") else "/nothink"


def _answer(message: Message) -> str:
    text = f"\n{trim(message.content)}" if message.content else ""
    calls = "".join(f"\n{_call(call)}" for call in message.tool_calls)
    return f"<|assistant|>\n<think>{trim(message.thinking)}</think>{text}{calls}\n"


def _observation(messages: Sequence[Message], i: int) -> str:
    return "" if i > 0 and messages[i - 1].role == "tool" else "<|observation|>"


def _call(call: ToolCall, *, separator: str = "") -> str:
    parts = [f"<tool_call>{call.name}"]
    for key, value in (call.arguments or {}).items():
        text = value if isinstance(value, str) else compact(value)
        parts += (f"<arg_key>{key}</arg_key>", f"<arg_value>{text}</arg_value>")
    return separator.join((*parts, "</tool_call>"))


def _tools(tools: Sequence[Tool], *, encode: Callable[[Tool], str] = spaced, separator: str = "") -> str:
    if not tools:
        return ""
    listed = "".join(f"{encode(tool)}\n" for tool in tools)
    return f"<|system|>\n{_TOOLS_BEFORE}{listed}{_TOOLS_AFTER}{separator.join(_CALL_FORM)}"
