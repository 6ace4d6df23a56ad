"""Finds calls that a model writes as JSON between tags, as most chat templates ask for them."""

from __future__ import annotations

import json
import logging
import re
import secrets
import string
from collections.abc import Collection
from enum import Enum, auto
from typing import Any

from models.parsers.errors import ParserError
from models.parsers.events import ToolCall
from models.parsers.syntax import JsonCalls
from models.parsers.text import overlap

_log = logging.getLogger(__name__)
_BLANKS = " \t\r\n"
_CLOSERS = re.compile(r"[}\]>`]")
"""What ends an object, a list or a tag."""
_NUMBER_UNDER_WAY = re.compile(r"[-.]|[eE][+-]?")
_ALPHABET = string.ascii_letters + string.digits


class _Malformed(ValueError):
    """The text is not, and will not become, a call."""


class _Incomplete(Exception):
    """More text is needed; `name` is that of the call under way, if it is known."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.name = name


class _State(Enum):
    CONTENT = auto()
    CALLS = auto()
    AFTER = auto()
    """Between two calls that have tags of their own, or after the last."""


class JsonCallParser:
    """Content before the first tag streams; from there the text waits until it is a call, or is none after all.

    # Compat: llama.cpp's chat parser for "JSON native" templates: calls are complete before they are told, and must
    # name a declared tool. Text that breaks the format becomes content (there, a grammar keeps models from it).
    """

    def __init__(self, syntax: JsonCalls, tool_names: Collection[str]) -> None:
        self._syntax = syntax
        self._names = tool_names
        self._start = syntax.start.rstrip(" ") or ("[" if syntax.in_array else "{")
        self._has_tag = bool(syntax.start.strip())
        self._buffer = ""
        self._state = _State.CONTENT
        self._n_read = 0
        self._has_begun = False
        self._calls: list[ToolCall] = []

    def feed(self, text: str) -> str:
        """The content that is certain by now; calls are told at the end."""
        self._buffer += text
        content = ""
        while True:
            before = self._state, len(self._buffer)
            content += self._step()
            if (self._state, len(self._buffer)) == before:
                return content

    def finish(self) -> tuple[str, tuple[ToolCall, ...]]:
        """Content that was held back, and all calls.

        Raises: ParserError if the reply ends inside the arguments of a call.
        """
        content = self._buffer if self._state is _State.CONTENT else ""
        if self._state is _State.CALLS:
            content = self._read_last_block()
        return content, tuple(self._calls)

    def _read_last_block(self) -> str:
        try:
            self._calls += self._read_block(is_last=True)[0]
        except _Malformed:
            return self._start + self._buffer
        except _Incomplete as incomplete:
            if incomplete.name:
                # Compat: Ollama's text for arguments that llama-server could not finish (prompting 2.4).
                raise ParserError(
                    f'llama-server returned invalid tool call arguments for "{incomplete.name}": '
                    "unexpected end of JSON input"
                ) from None
            _log.info("a tool call was cut off before its name")
        return ""

    # ---- states ----------------------------------------------------------------------------------------------------

    def _step(self) -> str:
        match self._state:
            case _State.CONTENT:
                return self._read_content()
            case _State.CALLS:
                return self._read_calls()
            case _State.AFTER:
                return self._read_between()

    def _read_content(self) -> str:
        text, tag, rest = self._buffer.partition(self._start)
        if tag:
            self._buffer, self._state = rest, _State.CALLS
            return text
        cut = len(text) - overlap(text, self._start)
        self._buffer = text[cut:]
        return text[:cut]

    def _read_calls(self) -> str:
        new, self._n_read = self._buffer[self._n_read :], len(self._buffer)
        if self._has_begun and not _CLOSERS.search(new):
            return ""  # nothing can be complete that was not before
        try:
            calls, end = self._read_block()
        except _Incomplete:
            self._has_begun = True
            return ""
        except _Malformed:
            return self._give_up()
        self._calls += calls
        self._leave_block(self._buffer[end:], _State.AFTER)
        return ""

    def _leave_block(self, rest: str, state: _State) -> None:
        self._buffer, self._state = rest, state
        self._n_read, self._has_begun = 0, False

    def _read_between(self) -> str:
        rest = self._buffer.lstrip()
        if self._syntax.repeats and rest.startswith(self._start):
            self._buffer, self._state = rest[len(self._start) :], _State.CALLS
        elif rest and not (self._syntax.repeats and self._start.startswith(rest)):
            self._state = _State.CONTENT
        return ""

    def _give_up(self) -> str:
        _log.info("text in the place of a tool call is kept as content")
        self._leave_block(self._buffer, _State.CONTENT)
        return self._start

    # ---- one block of calls ----------------------------------------------------------------------------------------

    def _read_block(self, *, is_last: bool = False) -> tuple[list[ToolCall], int]:
        """The calls up to the closing tag, and where it ends. Raises: _Incomplete, _Malformed."""
        text = self._buffer if self._has_tag else self._start + self._buffer
        if not self._has_tag and not self._can_become_call(text):
            raise _Malformed
        values, end = self._read_values(text)
        calls = [self._call(value, len(self._calls) + i) for i, value in enumerate(values)]
        if not is_last:
            end = _expect(text, end, self._syntax.end)
        return calls, end + len(self._buffer) - len(text)

    def _can_become_call(self, text: str) -> bool:
        """Whether an object without a tag before it starts like a call; other JSON need not wait."""
        keys = (self._syntax.name_key, self._syntax.arguments_key, self._syntax.id_key, self._syntax.wrapper, "type")
        names = self._names if self._syntax.name_is_key else keys
        rest = text.lstrip(_BLANKS + "[{")
        return any((quoted := json.dumps(name)).startswith(rest) or rest.startswith(quoted) for name in names)

    def _read_values(self, text: str) -> tuple[list[Any], int]:
        values, at = [], 0
        while True:
            value, at = self._read_json(text, _skip(text, at))
            values += value if isinstance(value, list) else [value]
            after = _skip(text, at)
            if not text.startswith(",", after):
                return values, at
            at = after + 1

    def _read_json(self, text: str, at: int) -> tuple[Any, int]:
        try:
            return _decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if _is_cut_off(text, error):
                raise _Incomplete(self._name_in(text[at:])) from None
            raise _Malformed from None
        except RecursionError:
            raise _Malformed from None

    def _call(self, value: Any, index: int) -> ToolCall:
        syntax = self._syntax
        fields = value.get(syntax.wrapper) if syntax.wrapper and isinstance(value, dict) else value
        if not isinstance(fields, dict):
            raise _Malformed
        if syntax.name_is_key:
            name, arguments = next(iter(fields.items()), ("", None))
        else:
            name, arguments = fields.get(syntax.name_key), fields.get(syntax.arguments_key, {})
        if isinstance(arguments, str):
            arguments = _parsed(arguments)
        if name not in self._names or not isinstance(arguments, dict):
            raise _Malformed
        identity = value.get(syntax.id_key) if syntax.id_key else None
        return ToolCall(name, arguments, index, str(identity) if identity else random_id())

    def _name_in(self, text: str) -> str:
        """The name of a declared tool that a cut-off call already holds."""
        key = r"\{" if self._syntax.name_is_key else rf'"{re.escape(self._syntax.name_key)}"\s*:'
        found = re.search(rf'{key}\s*"((?:[^"\\]|\\.)*)"', text)
        return found[1] if found and found[1] in self._names else ""


def random_id() -> str:
    """As llama-server makes them: 32 letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(32))


def _expect(text: str, at: int, tag: str) -> int:
    at = _skip(text, at)
    if text.startswith(tag, at):
        return at + len(tag)
    if tag.startswith(text[at:]):
        raise _Incomplete
    raise _Malformed


def _skip(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip(_BLANKS))


def _parsed(text: str) -> Any:
    try:
        return _decoder.decode(text or "{}")
    except ValueError:
        return None


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether more text could still make this JSON."""
    left = text[error.pos :].rstrip()
    if error.msg.startswith("Unterminated string") or not left:
        return True
    if error.msg.startswith("Invalid \\"):
        return len(left) < len("\\u0000")
    if _NUMBER_UNDER_WAY.fullmatch(left):
        return True
    return any(word.startswith(left) for word in ("true", "false", "null"))


def _refuse_constant(name: str) -> None:
    raise _Malformed(name)  # NaN and infinities: Python reads them, JSON has none


_decoder = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)
