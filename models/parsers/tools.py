"""Finds calls by a tag that was inferred from a Go template, or by the first brace if there is none.

# Compat: prompting 4.3, 4.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any

from models.parsers.events import ToolCall
from models.parsers.json_values import decode_object
from models.parsers.text import overlap, trim

_CLOSERS = {"{": "}", "[": "]"}
_BRACKETS = frozenset("{}[]")
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|\\.|[{}\[\]]', re.DOTALL)


class _State(Enum):
    TAG = auto()
    CALLS = auto()
    DONE = auto()


class TagCallParser:
    """From the tag on, everything is searched for names of tools and objects with their arguments."""

    def __init__(self, tag: str, tool_names: Sequence[str]) -> None:
        self._tag = tag
        self._names = tool_names
        self._buffer = ""
        self._n_calls = 0
        self._lacks_name = False
        self._state = _State.TAG

    def add(self, text: str) -> tuple[str, list[ToolCall]]:
        """The content and the calls that are certain by now."""
        if self._state is _State.DONE:
            return text, []
        self._buffer += text
        content = ""
        if self._state is _State.TAG:
            content, is_found = self._read_content()
            if self._tag in _CLOSERS and trim(content):
                # Without a tag of its own, a call can only stand at the beginning.
                self._state = _State.DONE
                return content + self._buffer, []
            if not is_found:
                return content, []
            self._state = _State.CALLS
        if not self._is_worth_reading(text):
            return content, []
        calls = list(iter(self._next_call, None))
        if self._is_closed():
            self._state = _State.DONE
            content, self._buffer = self._buffer, ""
        return content, calls

    def _is_worth_reading(self, text: str) -> bool:
        """Only a closer completes anything, or a name that comes after its object; the rest need not be read again."""
        return "}" in text or "]" in text or self._lacks_name

    def remaining(self) -> str:
        """What the last chunk brings: text that looked like a call and was none."""
        return "" if self._n_calls or self._tag not in _CLOSERS else self._buffer

    def _read_content(self) -> tuple[str, bool]:
        content, tag, rest = self._buffer.partition(self._tag)
        if tag:
            self._buffer = tag + rest
            return content, True
        cut = len(self._buffer) - overlap(self._buffer, self._tag)
        content, self._buffer = self._buffer[:cut], self._buffer[cut:]
        return content, False

    def _next_call(self) -> ToolCall | None:
        found = find_tool(self._names, self._buffer)
        self._lacks_name = found is None
        if found is None:
            return None
        name, end = found
        arguments, brace = find_arguments(name, self._buffer)
        if arguments is None:
            return None
        call = ToolCall(name, arguments, self._n_calls)
        self._n_calls += 1
        self._buffer = self._buffer[max(end, brace) :]
        return call

    def _is_closed(self) -> bool:
        closer = _CLOSERS.get(self._tag)
        depth = 0
        for _, character in _brackets(self._buffer) if closer else ():
            depth += (character == self._tag) - (character == closer)
            if character == closer and depth == 0:
                return True
        return False


def preserved_tokens(tag: str) -> tuple[str, ...]:
    """The special token that a tag begins with, which the engine must show instead of hiding.

    # Compat: prompting 6.0.
    """
    closer = {"[": "]", "<": ">"}.get(tag[:1])
    if tag in ("", *_CLOSERS):
        return ()
    return (tag[: tag.find(closer) + 1] if closer and closer in tag else tag,)


def find_tool(names: Iterable[str], text: str) -> tuple[str, int] | None:
    """The name that occurs first (the longest of equals) and where it ends; None while another may be under way."""
    names = list(names)
    if any(overlap(text, name[:-1]) for name in names):
        return None
    found = [(text.find(name), -len(name), name) for name in names if name in text]
    if not found:
        return None
    start, _, name = min(found)
    return name, start + len(name)


def find_arguments(name: str, text: str) -> tuple[dict[str, Any] | None, int]:
    """The arguments in the first object of a text, and the place of its closing brace; None while there are none."""
    depth = start = 0
    for place, character in _brackets(text):
        if character == "{":
            start = start if depth else place
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0 and (fields := decode_object(text[start : place + 1])) is not None:
                is_found, arguments = _arguments_in(name, fields)
                return (arguments if is_found else fields), place
            depth = max(depth, 0)
    return None, 0


def _arguments_in(name: str, fields: dict[str, Any]) -> tuple[bool, dict[str, Any] | None]:
    """Whether an object says what the arguments are, and what they are."""
    if "name" in fields:
        candidates = (_as_object(fields.get(key)) for key in ("arguments", "parameters"))
        return True, next((candidate for candidate in candidates if candidate is not None), None)
    arguments = _as_object(fields.get(name))
    if arguments is not None:
        return True, arguments
    for value in fields.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found = _arguments_in(name, inner)
                if found[0]:
                    return found
    return False, None


def _as_object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        return decode_object(value)
    return value if isinstance(value, dict) else None


def _brackets(text: str) -> Iterable[tuple[int, str]]:
    """Braces and brackets that are not in double quotes, with their places; a backslash hides what follows it."""
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in _BRACKETS:
            yield found.start(), found[0]
