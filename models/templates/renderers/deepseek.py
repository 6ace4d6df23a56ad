# ruff: noqa: RUF001
# The tokens of these models are written with a fullwidth bar.
"""DeepSeek 3.1.

# Compat: prompting 6.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.parsers.events import ToolCall
from models.templates.chat import Message, Tool
from models.templates.go_json import compact
from models.templates.renderers.conversation import Conversation

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"

_CALL_FORMAT = (
    "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>"
    "{{additional_tool_calls}}<｜tool▁calls▁end｜>\n\n"
    "Where:\n\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces\n"
)


def render_deepseek(conversation: Conversation) -> str:
    """The prompt. After the output of a tool the model goes on without an opening of its turn."""
    system = "\n\n".join(message.content for message in conversation.messages if message.role == "system")
    thinks = conversation.thinks(unless_said=False)
    return BOS + system + _tools(conversation.tools) + "".join(_turns(conversation.messages, thinks=thinks))


def _tools(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    shown = "".join(_tool(tool["function"]) for tool in tools)
    return f"\n\n## Tools\nYou have access to the following tools:\n{shown}{_CALL_FORMAT}"


def _tool(function: Tool) -> str:
    return (
        f"\n### {function['name']}\nDescription: {function.get('description', '')}\n\n"
        f"Parameters: {compact(function['parameters'])}\n"
    )


def _turns(messages: Sequence[Message], *, thinks: bool) -> Iterator[str]:
    last_question = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    is_asked = has_output = False
    for i, message in enumerate(messages):
        match message.role:
            case "user":
                is_asked, has_output = True, False
                yield f"<｜User｜>{message.content}"
            case "assistant" if message.tool_calls:
                yield "<｜Assistant｜></think>" if is_asked else ""
                is_asked = has_output = False
                yield message.content + _calls(message.tool_calls) + EOS
            case "assistant":
                has_thought = bool(message.thinking) and thinks and i > last_question
                yield _opening(thinks=has_thought) if is_asked else ""
                yield (message.content if has_output else _without_thought(message.content)) + EOS
                is_asked = has_output = False
            case "tool":
                is_asked, has_output = False, True
                yield f"<｜tool▁output▁begin｜>{message.content}<｜tool▁output▁end｜>"
    if is_asked:
        yield _opening(thinks=thinks)


def _opening(*, thinks: bool) -> str:
    return "<｜Assistant｜>" + ("<think>" if thinks else "</think>")


def _calls(calls: Sequence[ToolCall]) -> str:
    shown = "".join(
        f"<｜tool▁call▁begin｜>{call.name}<｜tool▁sep｜>{compact(call.arguments)}<｜tool▁call▁end｜>" for call in calls
    )
    return f"<｜tool▁calls▁begin｜>{shown}<｜tool▁calls▁end｜>"


def _without_thought(content: str) -> str:
    _, tag, answer = content.partition("</think>")
    return answer if tag else content
