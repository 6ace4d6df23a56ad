"""The prompt of a model that is served through its own chat template, as llama-server's chat endpoint makes it.

Messages take the form that the template can read (`probe.py`); a trailing assistant message is continued. With the
prompt comes its primer: what of it the reply's parser must know.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from models.errors import BadRequest
from models.parsers.native_harmony import ANSWER
from models.parsers.syntax import AddressedCalls, HarmonyCalls
from models.parsers.text import shared_start
from models.templates.chat import Message, Think, Tool
from models.templates.errors import InvalidChat, TemplateError, UnsupportedChat
from models.templates.go_json import compact
from models.templates.jinja import chat_template
from models.templates.limits import n_chars, walks_values
from models.templates.probe import TemplateTraits, probe

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""For a model that has no template of its own."""

MAX_VARIABLES_CHARS = 64 * 1024
_OWN_VARIABLES = frozenset(("messages", "tools", "add_generation_prompt", "bos_token", "eos_token"))

MEDIA_MARKER = f"<__ollama_media_{secrets.token_hex(16)}__>"
"""Where a medium goes in the prompt; they replace the markers in order. Nobody can know it, and write it in a message.

# Compat: prompting 8.3; the form is seen in rendered prompts.
"""


@dataclass(frozen=True, slots=True)
class NativeModel:
    """What of a model its own prompt needs. `chat_template` empty: it has none.

    `adds_bos`, `adds_eos`: whether the tokenizer does, so that the prompt must not begin or end with these tokens.
    `takes_media`: whether it has a projector.
    """

    chat_template: str = ""
    bos_token: str = ""
    eos_token: str = ""
    adds_bos: bool = False
    adds_eos: bool = False
    takes_media: bool = False


@dataclass(frozen=True, slots=True)
class NativePrompt:
    """`primer` is the part of the prompt with which the reply begins: an opened thought, an answer to continue."""

    text: str
    primer: str
    traits: TemplateTraits


@walks_values
def render_native(
    model: NativeModel,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    think: Think | None = None,
    *,
    variables: Mapping[str, Any] = MappingProxyType({}),
    now: datetime | None = None,
) -> NativePrompt:
    """`variables`: more that the template sees by name, as far as the names are free.

    Raises: TemplateError, UnsupportedChat, InvalidChat, BadRequest.

    # Compat: prompting 2.4; llama.cpp, common/chat.cpp: common_chat_templates_apply_jinja.
    """
    if n_chars(variables) > MAX_VARIABLES_CHARS:
        raise BadRequest("chat_template_kwargs is too long")
    source = _amended(model.chat_template) or CHATML
    traits = probe(source)
    continued = _continued(messages)
    earlier = messages[:-1] if continued else messages
    now = now or datetime.now()
    free = {name: value for name, value in variables.items() if name not in _OWN_VARIABLES}
    names = _defaults(traits, now) | free | _variables(model, traits, earlier, tools, think)
    opened = _bare(model, chat_template(source).render(names | {"add_generation_prompt": True}, now=now))
    has_primer = traits.reasoning is not None or isinstance(traits.calls, (AddressedCalls, HarmonyCalls))
    if continued is None and not has_primer:
        return NativePrompt(opened, "", traits)
    closed = _bare(model, chat_template(source).render(names, now=now))
    opening = opened[shared_start(closed, opened) :]
    if continued is None:
        return NativePrompt(opened, _primer(opening, traits), traits)
    begun = _with_answer(opening, continued, traits)
    return NativePrompt(closed + begun, _primer(begun, traits), traits)


def _amended(source: str) -> str:
    """Without the refusals of templates that llama.cpp talks them out of: OpenAI's and Mistral's."""
    if "<|channel|>" in source:
        source = source.replace(
            '{%- if "<|channel|>analysis<|message|>" in message.content or '
            '"<|channel|>final<|message|>" in message.content %}',
            "{%- if false %}",
        )
    if "[TOOL_CALLS]" in source:
        source = source.replace(
            "{%- if (message['content'] is none or message['content'] == '' or message['content']|length == 0) and "
            "(message['tool_calls'] is not defined or message['tool_calls'] is none or "
            "message['tool_calls']|length == 0) %}",
            "{%- if false %}",
        )
    return source


# ---- a trailing assistant message ----------------------------------------------------------------------------------


def _continued(messages: Sequence[Message]) -> Message | None:
    """The message that the reply continues. Raises: InvalidChat."""
    if not messages or messages[-1].role != "assistant":
        return None
    if len(messages) > 1 and messages[-2].role == "assistant":
        raise InvalidChat("Cannot have 2 or more assistant messages at the end of the list.")
    if messages[-1].tool_calls:
        raise InvalidChat("Cannot continue an assistant message that contains tool calls.")
    return messages[-1]


def _with_answer(opening: str, answer: Message, traits: TemplateTraits) -> str:
    """The opening of the turn with the answer begun; an empty thought stands before it if the model thinks."""
    match traits.calls:
        case HarmonyCalls():
            return opening + ANSWER + answer.content
        case AddressedCalls(start=start, everyone=everyone):
            return opening.removesuffix(start) + f"{start}{everyone}\n{answer.content}"
    tags = traits.reasoning
    if tags is None or not tags.start:
        return opening + answer.content
    return opening.partition(tags.start)[0] + tags.start + tags.end + answer.content


def _primer(opening: str, traits: TemplateTraits) -> str:
    match traits.calls:
        case HarmonyCalls():
            start = "<|start|>"
        case AddressedCalls():
            start = traits.calls.start
        case _:
            start = traits.reasoning.start.strip() if traits.reasoning else ""
    return opening[opening.find(start) :] if start and start in opening else ""


# ---- what the template sees ----------------------------------------------------------------------------------------


def _defaults(traits: TemplateTraits, now: datetime) -> dict[str, Any]:
    """What a request may say otherwise."""
    return {
        "enable_thinking": traits.reasoning is not None,
        "datetime": now.strftime("%b %d %Y"),
        "date_string": now.strftime("%d %b %Y"),
    }


def _variables(
    model: NativeModel,
    traits: TemplateTraits,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    think: Think | None,
) -> dict[str, Any]:
    shaped = [shaped_message(message, model, traits) for message in messages]
    names = {
        "messages": shaped if traits.has_system_role else _without_system(shaped),
        "bos_token": model.bos_token,
        "eos_token": model.eos_token,
        **thinking_arguments(think),
    }
    if tools:
        names["tools"] = [_tool(tool) for tool in tools]
    if "reasoning_effort" in names:
        names["reasoning_strength"] = names["reasoning_effort"]
    return names


def thinking_arguments(think: Think | None) -> dict[str, Any]:
    """What a request that says whether to think sets for the template.

    # Compat: prompting 2.4, `chat_template_kwargs`.
    """
    if think is None:
        return {}
    return {"enable_thinking": think.enabled} | ({"reasoning_effort": think.level} if think.level else {})


def shaped_message(message: Message, model: NativeModel, traits: TemplateTraits) -> dict[str, Any]:
    """A message as the template sees it. Raises: UnsupportedChat.

    # Compat: prompting 2.4: thoughts of earlier turns are not sent.
    """
    role = message.role
    if role == "developer" and "<|channel|>" not in model.chat_template:
        role = "system"
    shaped: dict[str, Any] = {"role": role, "content": _content(message, model, traits)}
    if message.tool_name:
        shaped["name"] = message.tool_name
    if message.tool_call_id:
        shaped["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        if traits.wants_null_content and not message.content:
            shaped["content"] = None
        shaped["tool_calls"] = [_call(call, traits) for call in message.tool_calls]
    return shaped


def _content(message: Message, model: NativeModel, traits: TemplateTraits) -> str | list[dict[str, str]]:
    if message.images and not model.takes_media:
        raise UnsupportedChat(
            "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
        )
    if not message.images and (traits.takes_text or not traits.takes_parts):
        return message.content
    parts = [{"type": "text", "text": message.content}] if message.content else []
    parts += [{"type": "media_marker", "text": MEDIA_MARKER}] * len(message.images)
    # Templates print what they know as images; text with markers in it is read by all of them.
    return "".join(part["text"] for part in parts) if message.images else parts


def _call(call: Any, traits: TemplateTraits) -> dict[str, Any]:
    text = compact(call.arguments)
    function = {"name": call.name, "arguments": json.loads(text) if traits.takes_objects else text}
    shaped = {"type": "function", "function": function}
    return shaped | {"id": call.id} if call.id else shaped


def _tool(tool: Tool) -> dict[str, Any]:
    function = json.loads(compact(tool["function"]))
    if tool.get("type") != "function":
        raise UnsupportedChat(f"Unsupported tool type: {compact(tool)}")
    return {
        "type": "function",
        "function": {
            "name": function["name"],
            "description": function.get("description", ""),
            "parameters": function.get("parameters", {}),
        },
    }


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For a template that knows no system role: the text moves into the message that follows."""
    if not messages or messages[0]["role"] != "system":
        return messages
    if len(messages) == 1:
        return []
    system, following = messages[0]["content"], messages[1]
    if not isinstance(system, str) or not isinstance(following["content"], str):
        raise TemplateError("the chat template takes no system message")
    return [{**following, "content": f"{system}\n{following['content']}"}, *messages[2:]]


def _bare(model: NativeModel, text: str) -> str:
    """Without the tokens that the tokenizer adds itself."""
    if model.adds_bos and model.bos_token:
        text = text.removeprefix(model.bos_token)
    if model.adds_eos and model.eos_token:
        text = text.removesuffix(model.eos_token)
    return text
