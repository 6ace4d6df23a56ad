"""What the renderers of the ChatML families share: turns, the instructions for calls in XML, texts of arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.templates.chat import Message
from models.templates.go_json import compact, plain
from models.templates.images import ImageTags
from models.templates.renderers.conversation import Conversation

END = "<|im_end|>\n"
ASSISTANT = "<|im_start|>assistant\n"

XML_CALLS = """

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within \
<tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell \
the user about function calls
</IMPORTANT>"""

_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def turn(role: str, text: str) -> str:
    """A finished turn."""
    return f"<|im_start|>{role}\n{text}{END}"


def tool_turn(messages: Sequence[Message], i: int, content: str) -> str:
    """The result of a tool, message `i`; results that follow one another share one turn of the user."""
    opens = i == 0 or messages[i - 1].role != "tool"
    closes = i + 1 == len(messages) or messages[i + 1].role != "tool"
    text = f"\n<tool_response>\n{content}\n</tool_response>"
    return ("<|im_start|>user" if opens else "") + text + (END if closes else "")


def argument_text(value: Any) -> str:
    """The value of an argument as the XML of a call has it: strings as they are, lists and maps as JSON."""
    match value:
        case None:
            return "null"
        case list() | dict():
            return compact(value)
        case _:
            return plain(value)


def pictured_contents(conversation: Conversation) -> list[str]:
    """The contents of all messages with marks for their images."""
    tags = ImageTags()
    if conversation.tags_images:
        return [tags.tagged(message.content, len(message.images)) for message in conversation.messages]
    return [_PICTURE * len(message.images) + message.content for message in conversation.messages]


def is_query(message: Message, content: str) -> bool:
    """Whether a message of the user is a question, not the result of a tool."""
    return message.role == "user" and not (
        content.startswith("<tool_response>") and content.endswith("</tool_response>")
    )


def last_query(messages: Sequence[Message], contents: Sequence[str]) -> int:
    """Index of the last question; of the last message if there is none."""
    return next((i for i in reversed(range(len(messages))) if is_query(messages[i], contents[i])), len(messages) - 1)


def awaits_answer(messages: Sequence[Message]) -> bool:
    """Whether an answer is to begin; if not, the last message is the beginning of one, which the model continues."""
    return bool(messages) and messages[-1].role != "assistant"
