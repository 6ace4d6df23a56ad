"""What a chat template does with messages, found out by rendering a few of them.

llama.cpp learns a template's habits in the same way, instead of knowing templates by name; so does this module, once
per template: which forms of a message it takes, which tags it puts around thoughts, how it writes calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from models.parsers.syntax import PYTHON_TAG, CallSyntax, JsonCalls, ReasoningTags
from models.parsers.text import shared_start
from models.templates.errors import TemplateError
from models.templates.families import known_calls, known_reasoning, known_wrappers
from models.templates.jinja import chat_template

_Messages = list[dict[str, Any]]
_TEXT, _SYSTEM, _THOUGHT = "ÄPROBE TEXTÄ", "ÄPROBE SYSTEMÄ", "ÄPROBE THOUGHTÄ"
_DECLARED, _CALLED, _ARGUMENT, _VALUE, _ID = "probe_declared", "probe_called", "probe_arg", "PROBEVALUE", "probe0001"
_USER = {"role": "user", "content": _TEXT}
_TOOL = {
    "type": "function",
    "function": {
        "name": _DECLARED,
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {_ARGUMENT: {"type": "string"}}, "required": [_ARGUMENT]},
    },
}
_TAG = r"(?:<[^<>\n]*>|\[[^\[\]\n]*\])"
_TAG_BEFORE = re.compile(rf"{_TAG}\s*\Z")
_TAG_AFTER = re.compile(rf"\s*{_TAG}\s*")


@dataclass(frozen=True, slots=True)
class TemplateTraits:
    """`takes_text`, `takes_parts`: content as a string, as a list of parts. `takes_objects`: arguments as objects.

    What rendering does not show of thoughts and calls is known from marks in the text (`families.py`).
    """

    takes_text: bool
    takes_parts: bool
    has_system_role: bool
    describes_tools: bool
    shows_calls: bool
    takes_objects: bool
    wants_null_content: bool
    """Whether it shows calls only where the content is absent, rather than empty."""
    reasoning: ReasoningTags | None
    calls: CallSyntax | None
    wrappers: tuple[str, ...] = ()
    """Tags around answers, which are no part of them."""


@lru_cache(maxsize=64)
def probe(source: str) -> TemplateTraits:
    """The traits of a template; one that cannot be rendered has none. Raises: TemplateError if it is malformed."""
    chat_template(source)
    takes_objects = _VALUE in _render(source, _call_chat(as_object=True), tools=True)
    called = _render(source, _call_chat(as_object=takes_objects), tools=True)
    wants_null_content = _CALLED not in called and _CALLED in _render(source, _null_chat(takes_objects), tools=True)
    reasoning = _reasoning_tags(source)
    shown_calls = _json_calls(source, reasoning, as_object=takes_objects) if _CALLED in called else None
    return TemplateTraits(
        takes_text=_TEXT in _render(source, [_USER]),
        takes_parts=_takes_parts(source),
        has_system_role=_SYSTEM in _render(source, [{"role": "system", "content": _SYSTEM}, _USER]),
        describes_tools=_DECLARED in called,
        shows_calls=_CALLED in called or wants_null_content,
        takes_objects=takes_objects,
        wants_null_content=wants_null_content,
        reasoning=reasoning,
        calls=shown_calls or known_calls(source),
        wrappers=known_wrappers(source),
    )


def _render(source: str, messages: _Messages, *, tools: bool = False, think: bool = True, prompt: bool = False) -> str:
    names: dict[str, Any] = {"messages": messages, "bos_token": "", "eos_token": "", "enable_thinking": think}
    names |= {"datetime": "Jan 02 2026", "date_string": "02 Jan 2026"}
    if tools:
        names["tools"] = [_TOOL]
    if prompt:
        names["add_generation_prompt"] = True
    try:
        return chat_template(source).render(names)
    except TemplateError:
        return ""


def _takes_parts(source: str) -> bool:
    text = _render(source, [{"role": "user", "content": [{"type": "text", "text": _TEXT}]}])
    return _TEXT in text and f"'{_TEXT}'" not in text and f'"{_TEXT}"' not in text


def _call(as_object: bool) -> dict[str, Any]:
    arguments = {_ARGUMENT: _VALUE}
    function = {"name": _CALLED, "arguments": arguments if as_object else json.dumps(arguments)}
    return {"type": "function", "function": function, "id": _ID}


def _null_chat(as_object: bool) -> _Messages:
    return _call_chat(as_object=as_object, content=None)


def _call_chat(*, as_object: bool, content: str | None = "") -> _Messages:
    return [
        _USER,
        {"role": "assistant", "content": content, "tool_calls": [_call(as_object)]},
        {"role": "tool", "content": "result", "name": _CALLED, "tool_call_id": _ID},
        {"role": "assistant", "content": "answer"},
        _USER,
    ]


# ---- thoughts ------------------------------------------------------------------------------------------------------


def _reasoning_tags(source: str) -> ReasoningTags | None:
    finders: tuple[Callable[[str], ReasoningTags | None], ...] = (
        _tags_of_answer,
        _tags_of_call,
        _tags_of_switch,
        known_reasoning,
        _tags_by_name,
    )
    return next((tags for find in finders if (tags := find(source))), None)


def _tags_of_answer(source: str) -> ReasoningTags | None:
    answer = {"role": "assistant", "content": _TEXT, "reasoning_content": _THOUGHT}
    return _tags_around_thought(_render(source, [_USER, answer]))


def _tags_of_call(source: str) -> ReasoningTags | None:
    """Some templates show thoughts only before calls."""
    call = {"role": "assistant", "content": "", "reasoning_content": _THOUGHT, "tool_calls": [_call(True)]}
    return _tags_around_thought(_render(source, [_USER, call], tools=True))


def _tags_around_thought(text: str) -> ReasoningTags | None:
    before, found, after = text.partition(_THOUGHT)
    end = _TAG_AFTER.match(after)
    if not found or not end:
        return None
    start = _TAG_BEFORE.search(before)
    return ReasoningTags(start[0] if start else "", end[0])


def _tags_of_switch(source: str) -> ReasoningTags | None:
    """What the prompt opens, or opens and closes, as thinking is switched on and off."""
    off, on = (_render(source, [_USER], think=think, prompt=True) for think in (False, True))
    common = shared_start(off, on)
    for extra in (on[common:], off[common:]):
        tags = re.findall(_TAG, extra)
        if len(tags) == 2 and extra.strip().startswith(tags[0]) and tags[1] == _closing(tags[0]):
            return ReasoningTags(tags[0], tags[1])
        if len(tags) == 1 and extra.strip() == tags[0] and not tags[0].startswith(("</", "[/")):
            return ReasoningTags(extra, _closing(tags[0]))
    return None


def _closing(tag: str) -> str:
    return f"{tag[0]}/{tag[1:]}"


def _tags_by_name(source: str) -> ReasoningTags | None:
    # Compat: http-api 4.1: a template that names both tags is said to think, so its replies are split.
    splits = "content.split('</think>')" in source or 'content.split("</think>")' in source
    return ReasoningTags("<think>", "</think>") if splits or ("<think>" in source and "</think>" in source) else None


# ---- calls ---------------------------------------------------------------------------------------------------------


def _json_calls(source: str, reasoning: ReasoningTags | None, *, as_object: bool) -> JsonCalls | None:
    """The tags and members of calls that are JSON; None for templates that write them otherwise."""
    once, twice = (_call_text(source, as_object, count) for count in (1, 2))
    head, tail = once.find("{"), once.rfind("}") + 1
    try:
        value = json.loads(once[head:tail])
    except ValueError:
        return None
    members = _members(value)
    if members is None:
        return None
    start, end = once[:head], once[tail:].strip()
    in_array = start.rstrip().endswith("[") and end.startswith("]")
    if in_array:
        start, end = start.rstrip()[:-1], end[1:].strip()
    if reasoning:
        start = start.rpartition(reasoning.end.strip())[2]
    start = start.lstrip()
    repeats = bool(start.strip()) and twice.count(start.strip()) > once.count(start.strip())
    also = (PYTHON_TAG,) if PYTHON_TAG in source else ()
    return JsonCalls(start, _first_tag(end), repeats, in_array, **members, also=also)


def _first_tag(text: str) -> str:
    """The rest are tags that end the turn, which the engine does not show."""
    tag = re.match(_TAG, text)
    return tag[0] if tag else text


def _call_text(source: str, as_object: bool, count: int) -> str:
    """What stands in an assistant's turn when it makes calls, without what surrounds any turn."""
    answer = _render(source, [_USER, {"role": "assistant", "content": _TEXT}], tools=True)
    calls = {"role": "assistant", "content": "", "tool_calls": [_call(as_object)] * count}
    text = _render(source, [_USER, calls], tools=True)
    before = shared_start(answer, text)
    after = len(text) - shared_start(answer[before:][::-1], text[before:][::-1])
    # Tags may begin or end alike; they are kept whole.
    cut_open = re.search(r"(?:<[^<>]*|\[[^\[\]]*)\Z", text[:before])
    cut_close = re.match(r"[^<>\[\]]*[>\]]", text[after:])
    return text[cut_open.start() if cut_open else before : after + (cut_close.end() if cut_close else 0)]


def _members(value: Any) -> dict[str, Any] | None:
    """Which member of a call holds what, as arguments of JsonCalls."""
    if not isinstance(value, dict):
        return None
    if _CALLED in value:
        return {"name_is_key": True}
    members: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and _CALLED in item.values():
            inner = _members(item)
            return {**inner, "wrapper": key} if inner else None
        if item == _CALLED:
            members["name_key"] = key
        elif item == _ID:
            members["id_key"] = key
        elif _VALUE in json.dumps(item):
            members["arguments_key"] = key
    return members if "name_key" in members and "arguments_key" in members else None
