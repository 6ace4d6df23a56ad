"""Prompts of Gemma 4 (prompting.md 6.10): a model's turn holds its calls and the responses to them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.parsers.text import trim
from models.parsers.typed_values import parse_float
from models.templates.chat import Message
from models.templates.images import ImageTags
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.gemma4_tools import QUOTES, declaration

BOS = "<bos>"
_TURN, _TURN_END = "<|turn>", "<turn|>\n"
_THOUGHT, _THOUGHT_END = "<|channel>thought\n", "<channel|>"
_CHANNEL = re.compile(r"<\|channel>.*?(?:<channel\|>|\Z)", re.DOTALL)


def render_gemma4_small(conversation: Conversation) -> str:
    """For the models that need no sign not to think."""
    return _Writer(conversation).write(shows_no_thought=False)


def render_gemma4_large(conversation: Conversation) -> str:
    """For the models that are shown an empty thought when they are not to think."""
    return _Writer(conversation).write(shows_no_thought=True)


class _Writer:
    """One prompt. Messages count without the system message at the head."""

    def __init__(self, conversation: Conversation) -> None:
        messages = conversation.messages
        self._conversation = conversation
        self._thinks = conversation.thinks(unless_said=False)
        self._system = messages[0] if messages and messages[0].role in ("system", "developer") else None
        self._messages = messages[1:] if self._system else messages
        self._spoken = [i for i, message in enumerate(self._messages) if message.role != "tool"]
        self._tags = ImageTags()

    def write(self, *, shows_no_thought: bool) -> str:
        parts = [BOS, self._head()]
        parts += [self._message(place) for place in range(len(self._spoken))]
        last = self._spoken[-1] if self._spoken else None
        if last is None or not self._messages[last].tool_calls:
            empty_thought = _THOUGHT + _THOUGHT_END if shows_no_thought and not self._thinks else ""
            parts.append(f"{_TURN}model\n{empty_thought}")
        elif self._thinks and self._responses(last):
            parts.append(_THOUGHT)
        return "".join(parts)

    def _head(self) -> str:
        tools = self._conversation.tools
        if not (self._system or tools or self._thinks):
            return ""
        parts = [f"{_TURN}system\n", "<|think|>\n" if self._thinks else ""]
        if self._system:
            parts.append(trim(self._system.content))
            self._tagged(self._system.content, self._system)
        parts += [declaration(tool["function"]) for tool in tools]
        return "".join(parts) + _TURN_END

    def _message(self, place: int) -> str:
        i = self._spoken[place]
        message = self._messages[i]
        is_model = message.role == "assistant"
        responses = self._responses(i) if message.tool_calls else ()
        parts = [] if is_model and self._is_model(place - 1) else [self._opening(message)]
        if is_model and message.thinking and i > self._last_user():
            parts.append(f"{_THOUGHT}{message.thinking}\n{_THOUGHT_END}")
        parts += [f"<|tool_call>call:{c.name}{QUOTES.arguments(c.arguments)}<tool_call|>" for c in message.tool_calls]
        parts += [self._response(response, message) for response in responses]
        text = self._text(message)
        parts.append(text)
        if message.tool_calls and not responses:
            parts.append("<|tool_response>")
        elif not self._goes_on(place, has_responses=bool(responses), has_text=bool(text)):
            parts.append(_TURN_END)
        return "".join(parts)

    def _opening(self, message: Message) -> str:
        return f"{_TURN}{'model' if message.role == 'assistant' else message.role}\n"

    def _goes_on(self, place: int, *, has_responses: bool, has_text: bool) -> bool:
        """Whether the turn of the model is not over after this message."""
        is_last = place + 1 == len(self._spoken)
        return (self._is_model(place) and self._is_model(place + 1)) or (has_responses and not has_text and is_last)

    def _is_model(self, place: int) -> bool:
        in_range = 0 <= place < len(self._spoken)
        return in_range and self._messages[self._spoken[place]].role == "assistant"

    def _last_user(self) -> int:
        return max((i for i, message in enumerate(self._messages) if message.role == "user"), default=-1)

    def _responses(self, i: int) -> Sequence[Message]:
        """The results of tools right after message `i`."""
        end = i + 1
        while end < len(self._messages) and self._messages[end].role == "tool":
            end += 1
        return self._messages[i + 1 : end]

    def _response(self, response: Message, asking: Message) -> str:
        names = {call.id: call.name for call in reversed(asking.tool_calls) if call.id}
        name = names.get(response.tool_call_id) or response.tool_name or "unknown"
        value = QUOTES.string(self._tagged(response.content, response))
        return f"<|tool_response>response:{name}{{value:{value}}}<tool_response|>"

    def _text(self, message: Message) -> str:
        content = _CHANNEL.sub("", message.content) if message.role == "assistant" else message.content
        return self._tagged(trim(content), message)

    def _tagged(self, content: str, message: Message) -> str:
        return self._tags.tagged(content, len(message.images)) if self._conversation.tags_images else content


_SMALL, _LARGE = ("e2b", "e4b"), ("12b", "26b", "31b")
_LARGE_FROM = 12e9
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}


def choose_gemma4(names: Sequence[str], model_type: str) -> str:
    """The renderer of a model whose config says only `gemma4`, by its names, else by its size in words (`25.2B`).

    `names`: the short one, then the full one.
    """
    for name in map(str.lower, names):
        if any(size in name for size in _SMALL):
            return "gemma4-small"
        if any(size in name for size in _LARGE):
            return "gemma4-large"
    return "gemma4-large" if _n_parameters(model_type) >= _LARGE_FROM else "gemma4-small"


def _n_parameters(model_type: str) -> float:
    number = parse_float(model_type[:-1])
    return (number or 0.0) * _UNITS.get(model_type[-1:], 0.0)
