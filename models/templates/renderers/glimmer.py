"""Glimmer: messages with recipients, calls in its own kind of XML.

# Compat: prompting 6.18.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think, Tool
from models.templates.go_json import plain, spaced_raw, spaced_raw_function
from models.templates.images import ImageTags
from models.templates.renderers.conversation import Conversation

BOS = "<|begin_of_text|>"

_MESSAGE_END, _TURN_END = "<|eom|>", "<|eot|>"
_PICTURE = "<|patch|>"
_DEFAULT = "You are a helpful AI assistant.\nKnowledge cutoff: 2026-01-04.\nCurrent date: {today:%Y-%m-%d}."
_EFFORTS = (
    ("Reasoning effort", "Reasoning strength"),
    ("Reasoning Effort", "Reasoning Strength"),
    ("reasoning effort", "reasoning strength"),
    ("REASONING EFFORT", "REASONING STRENGTH"),
)
_TOOLS = """In this environment you have access to a set of tools you can use to answer the user's question.

You can invoke a function by writing a "<atem:function_calls>" block like the following:
<atem:function_calls>
<atem:invoke name="$FUNCTION_NAME">
<atem:parameter name="$PARAMETER_NAME">$PARAMETER_VALUE</atem:parameter>
...
</atem:invoke>
</atem:function_calls>

String and scalar parameters should be specified as is, while lists and objects should use JSON format. Note that \
spaces for string values are not stripped. The output is not expected to be valid XML and is parsed with regular \
expressions.
Here are the functions available in JSONSchema format:
// Tool metadata
"""
_EXAMPLE = """

Here's an example of how to call a function in the tool set:
(If the tool namespace is not specified, invoke the function directly as `example_function_name` rather than \
`example_tool_name.example_function_name`)

to=example_tool_name.example_function_name

<atem:function_calls>
<atem:invoke name="example_tool_name.example_function_name">
<atem:parameter name="example_parameter_1">value_1</atem:parameter>
<atem:parameter name="example_parameter_2">This is the value for the second parameter
that can span
"multiple" lines
</atem:parameter>
</atem:invoke>
</atem:function_calls>"""


def render_glimmer(conversation: Conversation) -> str:
    """The prompt; an answer at the end is closed, and a new one begun."""
    messages, tools = conversation.messages, conversation.tools
    strength = _strength(conversation.think)
    head = ""
    if not any(message.role == "system" for message in messages):
        head = _system(_DEFAULT.format(today=conversation.today), strength, tools)
    return BOS + head + "".join(_turns(conversation, strength)) + "<|start|>assistant"


def _strength(think: Think | None) -> str:
    if think is None:
        return "high"
    return think.level or ("high" if think.enabled else "none")


def _message(header: str, text: str, end: str) -> str:
    return f"<|start|>{header}<|message|>{text}{end}"


# ---- the system message --------------------------------------------------------------------------------------------


def _system(text: str, strength: str, tools: Sequence[Tool]) -> str:
    for effort, same in _EFFORTS:
        text = text.replace(effort, same)
    if "reasoning strength" not in text.lower():
        text += f"\n\nReasoning strength: {strength}."
    names = dict.fromkeys(namespace(tool["function"]["name"]) for tool in tools)
    recipients = ", ".join(f'"{name}"' for name in ("self", *(f"{name}.*" for name in names), "user"))
    return _message("system", f"{text}{_shown(tools, names)}\n\n# Valid recipients: {recipients}.", _TURN_END)


def namespace(name: str) -> str:
    """What stands before the first dot in the name of a tool; without a dot all of it."""
    return name.partition(".")[0]


def _shown(tools: Sequence[Tool], names: Iterable[str]) -> str:
    if not tools:
        return ""
    metadata = "".join(f'{{"name": {spaced_raw(name)}, "description": ""}}\n' for name in names)
    schemas = "".join(f"\n{_schema(tool['function'])}" for tool in tools)
    return f"\n\n{_TOOLS}{metadata}// Function schemas{schemas}{_EXAMPLE}"


def _schema(function: Tool) -> str:
    return spaced_raw_function(
        {
            "name": function["name"],
            "description": function.get("description", ""),
            "parameters": function["parameters"],
        }
    )


# ---- the other messages --------------------------------------------------------------------------------------------


def _turns(conversation: Conversation, strength: str) -> Iterator[str]:
    messages, tags = conversation.messages, ImageTags()
    names: dict[str, str] = {}
    for i, message in enumerate(messages):
        content = _content(message, tags if conversation.tags_images else None)
        match message.role:
            case "system":
                yield _system(content, strength, conversation.tools)
            case "user":
                yield _message("user", content, _TURN_END)
            case "assistant":
                names |= {call.id: call.name for call in message.tool_calls if call.id}
                goes_on = i + 1 < len(messages) and messages[i + 1].role == "assistant"
                yield from _answer(message, content, goes_on=goes_on)
            case "tool":
                name = message.tool_name or names.get(message.tool_call_id) or message.tool_call_id
                text = f'<tool_output name="{name}">\n{content}\n</tool_output>'
                yield _message(f"tool {name}", text, _TURN_END)


def _content(message: Message, tags: ImageTags | None) -> str:
    if tags is None:
        return _PICTURE * len(message.images) + message.content
    return tags.tagged(message.content, len(message.images))


def _answer(message: Message, content: str, *, goes_on: bool) -> Iterator[str]:
    """`goes_on`: the next message belongs to the same turn."""
    if message.thinking:
        yield _message("assistant to=self", message.thinking, _MESSAGE_END)
    for i, call in enumerate(message.tool_calls):
        is_last = i == len(message.tool_calls) - 1
        yield _message(f"assistant to={call.name}", _call(call), _TURN_END if is_last and not goes_on else _MESSAGE_END)
    if not message.tool_calls and (content or not message.thinking):
        yield _message("assistant to=user", content, _TURN_END)


def _call(call: ToolCall) -> str:
    parameters = "".join(
        f'<atem:parameter name="{key}">{_value(value)}</atem:parameter>\n'
        for key, value in (call.arguments or {}).items()
    )
    return (
        f'<atem:function_calls>\n<atem:invoke name="{call.name}">\n{parameters}</atem:invoke>\n</atem:function_calls>'
    )


def _value(value: Any) -> str:
    if value is None:
        return "null"
    return spaced_raw(value) if isinstance(value, (dict, list)) else plain(value)
