"""Prompts of Qwen3-VL (prompting.md 6.3): calls in JSON, thoughts of the current turn only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from models.templates.chat import Message, Tool
from models.templates.go_json import spaced
from models.templates.renderers.chatml import (
    ASSISTANT,
    END,
    awaits_answer,
    last_query,
    pictured_contents,
    tool_turn,
    turn,
)
from models.templates.renderers.conversation import Conversation

_TOOLS_BEFORE = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
"""
_TOOLS_AFTER = """</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


def _render(conversation: Conversation, *, is_thinking_model: bool) -> str:
    messages = conversation.messages
    thinks = conversation.thinks(unless_said=is_thinking_model)
    contents = pictured_contents(conversation)
    thoughts_from = last_query(messages, contents) + 1 if thinks else len(messages)
    parts = [_system(messages, conversation.tools)]
    for i, message in enumerate(messages):
        match message.role:
            case "system" if i == 0:
                pass
            case "user" | "system":
                parts.append(turn(message.role, contents[i]))
            case "assistant":
                is_last = i + 1 == len(messages)
                shows_thoughts = i >= thoughts_from and (is_last or bool(message.thinking))
                parts.append(_answer(message, contents[i], shows_thoughts=shows_thoughts))
                parts.append("" if is_last else END)
            case "tool":
                parts.append(tool_turn(messages, i, contents[i]))
    if awaits_answer(messages):
        parts.append(ASSISTANT + ("<think>\n" if thinks else ""))
    return "".join(parts)


render_qwen3_vl_instruct = partial(_render, is_thinking_model=False)
render_qwen3_vl_thinking = partial(_render, is_thinking_model=True)


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    has_system = bool(messages) and messages[0].role == "system"
    if not tools:
        return turn("system", messages[0].content) if has_system else ""
    text = f"{messages[0].content}\n\n" if has_system else ""
    return turn("system", text + _TOOLS_BEFORE + "".join(f"{spaced(tool)}\n" for tool in tools) + _TOOLS_AFTER)


def _answer(message: Message, content: str, *, shows_thoughts: bool) -> str:
    """An answer as far as it goes: thoughts without content after them are not closed."""
    parts = [ASSISTANT]
    if shows_thoughts:
        parts.append("<think>\n" + message.thinking.strip("\n"))
        parts.append("\n</think>\n\n" + content.lstrip("\n") if content else "")
    else:
        parts.append(content)
    for i, call in enumerate(message.tool_calls):
        parts.append("\n" if i > 0 or content else "")
        arguments = spaced(call.arguments)
        parts.append(f'<tool_call>\n{{"name": "{call.name}", "arguments": {arguments}}}\n</tool_call>')
    return "".join(parts)
