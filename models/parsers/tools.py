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
_OUTSIDE, _INSIDE = re.compile(r'["\\{}\[\]]'), re.compile(r'["\\]')
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|\\.|[{}\[\]]', re.DOTALL)


class _State(Enum):
    TAG = auto()
    CALLS = auto()
    DONE = auto()


class TagCallParser:
    """From the tag on, everything is searched for names of tools and objects with their arguments."""

    def __init__(self, tag: str, tool_names: Sequence[str]) -> None:
        self._tag = tag
        self._names = ToolNames(tool_names)
        self._buffer = ""
        self._n_calls = 0
        self._n_searched = 0
        """Characters of the buffer in which no name begins."""
        self._lacks_name = False
        self._closings = _Closings(tag)
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
            text = self._buffer
        # Only what closes an object completes anything, or a name that comes after its object.
        if not self._closings.see(text) and not self._lacks_name:
            return content, []
        calls = list(iter(self._next_call, None))
        if self._is_closed():
            self._state = _State.DONE
            content, self._buffer = self._buffer, ""
        return content, calls

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
        is_begun = self._names.is_begun(self._buffer)
        found = None if is_begun else self._names.find(self._buffer, self._n_searched)
        self._lacks_name = found is None
        if found is None:
            if not is_begun:
                self._n_searched = max(len(self._buffer) - self._names.longest, 0)
            return None
        name, end = found
        arguments, brace = find_arguments(name, self._buffer)
        if arguments is None:
            return None
        call = ToolCall(name, arguments, self._n_calls)
        self._n_calls += 1
        self._buffer, self._n_searched = self._buffer[max(end, brace) :], 0
        self._closings = _Closings(self._tag)
        self._closings.see(self._buffer)
        return call

    def _is_closed(self) -> bool:
        closer = _CLOSERS.get(self._tag)
        depth = 0
        for _, character in _brackets(self._buffer) if closer else ():
            depth += (character == self._tag) - (character == closer)
            if character == closer and depth == 0:
                return True
        return False


class ToolNames:
    """The names of tools, to be found in a text that grows. `longest`: characters of the longest."""

    def __init__(self, names: Sequence[str]) -> None:
        ordered = sorted(names, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, ordered)))
        self._beginnings = {name[:size] for name in names for size in range(1, len(name))}
        self.longest = len(ordered[0])

    def is_begun(self, text: str) -> bool:
        """Whether the text ends in what may become a name."""
        return any(text[-size:] in self._beginnings for size in range(1, min(self.longest, len(text) + 1)))

    def find(self, text: str, start: int) -> tuple[str, int] | None:
        """The name that occurs first (the longest of equals), and where it ends; None if there is none."""
        found = self._any.search(text, start)
        return (found[0], found.end()) if found else None


class _Closings:
    """Watches a text that comes in pieces for what closes an object, or all that its tag, a bracket, has opened."""

    def __init__(self, tag: str) -> None:
        self._tag, self._closer = tag, _CLOSERS.get(tag)
        self._depth = self._tag_depth = 0
        self._in_string = self._escapes = False

    def see(self, piece: str) -> bool:
        """Whether this piece closes one."""
        at, self._escapes = int(self._escapes and bool(piece)), self._escapes and not piece
        has_closed = False
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(piece, at):
            at = found.end()
            match found[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    self._escapes = at == len(piece)
                    at += 1
                case mark:
                    has_closed = self._count(mark) or has_closed
        return has_closed

    def _count(self, mark: str) -> bool:
        self._depth = max(self._depth + (mark == "{") - (mark == "}"), 0)
        self._tag_depth += (mark == self._tag) - (mark == self._closer)
        return (mark == "}" and self._depth == 0) or (mark == self._closer and self._tag_depth == 0)


def preserved_tokens(tag: str) -> tuple[str, ...]:
    """The special token that a tag begins with, which the engine must show instead of hiding.

    # Compat: prompting 6.0.
    """
    closer = {"[": "]", "<": ">"}.get(tag[:1])
    if tag in ("", *_CLOSERS):
        return ()
    return (tag[: tag.find(closer) + 1] if closer and closer in tag else tag,)


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
