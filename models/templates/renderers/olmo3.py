"""OLMo 3: with calls as function calls in Python's way, and the ones that think.

# Compat: prompting 6.7, 6.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.parsers.events import ToolCall
from models.templates.chat import Message
from models.templates.go_json import compact, spaced
from models.templates.renderers.chatml import ASSISTANT, END, turn
from models.templates.renderers.conversation import Conversation

_OLMO = (
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, "
    "and your model weights are available at https://huggingface.co/allenai."
)
_NO_FUNCTIONS = "You do not currently have access to any functions. <functions></functions>"
_FUNCTIONS = (
    "You are provided with function signatures within <functions></functions> XML tags. You may call one or more "
    "functions to assist with the user query. Output any function calls within <function_calls></function_calls> "
    "XML tags. Do not make assumptions about what values to plug into functions."
)

Render = Callable[[Conversation], str]


def _instruct(default: str) -> Render:
    """The renderer of a model with this text for chats without a system message."""

    def render(conversation: Conversation) -> str:
        system, messages = _split(conversation.messages)
        tools = f"<functions>{spaced(list(conversation.tools))}</functions>" if conversation.tools else ""
        if system is None:
            system = f"{default} {_FUNCTIONS if tools else _NO_FUNCTIONS}"
        turns = "".join(_turn(message, is_last=i == len(messages) - 1) for i, message in enumerate(messages))
        return turn("system", system + tools) + turns + ("" if _is_begun(messages) else ASSISTANT)

    return render


def _think(default: str) -> Render:
    """The same for a model that thinks, and knows no tools."""

    def render(conversation: Conversation) -> str:
        system, messages = _split(conversation.messages)
        head = default if system is None else f"{system} {_NO_FUNCTIONS}"
        turns = "".join(turn(m.role, m.content) for m in messages if m.role in ("user", "assistant"))
        return turn("system", head) + turns + ASSISTANT + "<think>"

    return render


render_olmo3 = _instruct("You are a helpful function-calling AI assistant.")
render_olmo31 = _instruct(_OLMO)
render_olmo3_think = _think(_OLMO)
render_olmo3_32b_think = _think("You are a helpful AI assistant.")


def _split(messages: Sequence[Message]) -> tuple[str | None, list[Message]]:
    """The first system text, and the messages without any."""
    systems = [message.content for message in messages if message.role == "system"]
    return systems[0] if systems else None, [message for message in messages if message.role != "system"]


def _is_begun(messages: Sequence[Message]) -> bool:
    """Whether the answer is begun already."""
    last = messages[-1] if messages else Message("")
    return last.role == "assistant" and not last.tool_calls and bool(last.content)


def _turn(message: Message, *, is_last: bool) -> str:
    match message.role:
        case "user":
            return turn("user", message.content)
        case "assistant":
            is_open = is_last and not message.tool_calls
            return ASSISTANT + message.content + _calls(message.tool_calls) + ("" if is_open else END)
        case "tool":
            return turn("environment", message.content)
        case _:
            return ""


def _calls(calls: Sequence[ToolCall]) -> str:
    if not calls:
        return ""
    return "<function_calls>" + "\n".join(map(_call, calls)) + "</function_calls>"


def _call(call: ToolCall) -> str:
    arguments = sorted((call.arguments or {}).items())
    return f"{call.name}({', '.join(f'{key}={compact(value)}' for key, value in arguments)})"
