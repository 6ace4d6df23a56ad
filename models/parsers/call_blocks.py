"""Finds calls in a reply: blocks of text that begin with a tag, whatever is written in them.

Content before a block streams; a block waits until it is read whole, or turns out to be none. What a block must hold
to be worth reading again is watched piece by piece, so a long one costs no more for each token than a short one.
"""

from __future__ import annotations

import logging
import re
import secrets
import string
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from models.parsers.errors import ParserError
from models.parsers.events import ToolCall

_log = logging.getLogger(__name__)
_ALPHABET = string.ascii_letters + string.digits
_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')


class FoundCall(NamedTuple):
    """A call as it stands in a block; an empty `identity`: it has none of its own."""

    name: str
    arguments: dict[str, Any]
    identity: str = ""


class Watch(Protocol):
    """Looks for what an unfinished block lacks."""

    def sees(self, piece: str) -> bool:
        """Whether it has come, with this piece or before."""
        ...


class Malformed(ValueError):
    """The text is not, and will not become, a block of calls."""


class Incomplete(Exception):
    """More text is needed, `watch` says which; `name` is that of the call whose arguments are under way."""

    def __init__(self, name: str = "", watch: Watch | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.watch = watch


class BlockReader(Protocol):
    """Reads blocks of one form.

    `starts`: what they begin with. `repeats`: another may follow with nothing but whitespace between them.
    """

    starts: tuple[str, ...]
    repeats: bool

    def read(self, text: str, *, is_last: bool) -> tuple[list[FoundCall], int]:
        """The calls of the block at the beginning of a text, and where it ends; the last one may lack its end tag.

        Raises: Incomplete, Malformed.
        """
        ...


class _State(Enum):
    CONTENT = auto()
    BLOCK = auto()
    AFTER = auto()
    """Behind a block that others like it may follow."""


class CallBlocks:
    """Cuts a reply without thoughts into content, which streams, and calls, which are told at the end.

    # Compat: llama.cpp's chat parsers: calls are complete before they are told, and must name a declared tool. Text
    # that breaks the format becomes content (there, a grammar keeps models from it).
    """

    def __init__(self, readers: Sequence[BlockReader]) -> None:
        self._readers = {start: reader for reader in readers for start in reader.starts}
        starts = sorted(self._readers, key=len, reverse=True)
        self._any_start = re.compile("|".join(map(re.escape, starts)))
        self._first_letter = re.compile("|".join(re.escape(letter) for letter in {start[0] for start in starts}))
        self._longest = len(starts[0])
        self._start = ""
        self._buffer = ""
        self._pieces: list[str] = []
        self._watch: Watch | None = None
        self._state = _State.CONTENT
        self._calls: list[ToolCall] = []

    def feed(self, text: str) -> str:
        """The content that is certain by now."""
        if self._state is _State.BLOCK and not self._is_due(text):
            self._pieces.append(text)
            return ""
        self._take(text)
        return self._read_on()

    def finish(self) -> tuple[str, tuple[ToolCall, ...]]:
        """Content that was held back, and all calls.

        Raises: ParserError if the reply ends inside the arguments of a call.
        """
        self._take("")
        content = [self._read_on()]
        while self._state is not _State.AFTER and (self._state is _State.BLOCK or (found := self._first_start())):
            if self._state is _State.CONTENT and found:
                content.append(self._enter(found))
            content += (self._read_last_block(), self._read_on())
        if self._state is _State.CONTENT or self._buffer.strip():
            content.append(self._buffer)
        return "".join(content), tuple(self._calls)

    def _take(self, text: str) -> None:
        self._buffer = "".join((self._buffer, *self._pieces, text))
        self._pieces.clear()

    def _read_on(self) -> str:
        """Read as far as the text goes; the content of it."""
        content = []
        while True:
            before = self._state, len(self._buffer)
            content.append(self._step())
            if (self._state, len(self._buffer)) == before:
                return "".join(content)

    def _read_last_block(self) -> str:
        try:
            calls, _ = self._reader.read(self._buffer, is_last=True)
        except Malformed:
            return self._give_up()
        except Incomplete as incomplete:
            if incomplete.name:
                raise unfinished_arguments(incomplete.name) from None
            if self._start in _BRACKETS:
                return self._give_up()
            _log.info("a tool call was cut off before its name")
            calls = []
        self._add(calls)
        self._buffer, self._state = "", _State.AFTER
        return ""

    # ---- states ----------------------------------------------------------------------------------------------------

    def _is_due(self, piece: str) -> bool:
        """Whether reading the block again could come to anything else; whitespace completes nothing."""
        return self._watch.sees(piece) if self._watch else bool(piece.strip())

    @property
    def _reader(self) -> BlockReader:
        return self._readers[self._start]

    def _step(self) -> str:
        match self._state:
            case _State.CONTENT:
                return self._read_content()
            case _State.BLOCK:
                return self._read_block()
            case _State.AFTER:
                return self._read_between()

    def _read_content(self) -> str:
        found = self._first_start()
        cut = self._first_beginning()
        if found and found[0] < cut:
            return self._enter(found)
        content, self._buffer = self._buffer[:cut], self._buffer[cut:]
        return content

    def _first_start(self) -> tuple[int, str] | None:
        """Where the first block may begin, and its tag; of tags that begin there the longest."""
        found = self._any_start.search(self._buffer)
        return (found.start(), found[0]) if found else None

    def _first_beginning(self) -> int:
        """Where a tag may begin that is not whole yet: perhaps a longer one than the shorter one that is."""
        for letter in self._first_letter.finditer(self._buffer, max(len(self._buffer) - self._longest + 1, 0)):
            rest = self._buffer[letter.start() :]
            if any(len(rest) < len(start) and start.startswith(rest) for start in self._readers):
                return letter.start()
        return len(self._buffer)

    def _enter(self, found: tuple[int, str]) -> str:
        """Begin a block; the content before it."""
        place, self._start = found
        self._state, self._watch = _State.BLOCK, None
        content, self._buffer = self._buffer[:place], self._buffer[place:]
        return content

    def _read_block(self) -> str:
        try:
            calls, end = self._reader.read(self._buffer, is_last=False)
        except Incomplete as incomplete:
            self._watch = incomplete.watch
            return ""
        except Malformed:
            return self._give_up()
        self._add(calls)
        self._buffer, self._state = self._buffer[end:], _State.AFTER
        return ""

    def _add(self, calls: Sequence[FoundCall]) -> None:
        first = len(self._calls)
        self._calls += (
            ToolCall(call.name, call.arguments, first + i, call.identity or random_id()) for i, call in enumerate(calls)
        )

    def _read_between(self) -> str:
        rest = self._buffer.lstrip()
        starts = self._reader.starts if self._reader.repeats else ()
        start = next((start for start in starts if rest.startswith(start)), None)
        if start is not None:
            self._enter((len(self._buffer) - len(rest), start))
        elif rest and not any(start.startswith(rest) for start in starts):
            self._state = _State.CONTENT
        return ""

    def _give_up(self) -> str:
        """The tag is content, and so is what follows it, up to the next one."""
        _log.info("text in the place of a tool call is kept as content")
        self._state = _State.CONTENT
        self._buffer = self._buffer[len(self._start) :]
        return self._start


_BRACKETS = ("{", "[")


# ---- watches -------------------------------------------------------------------------------------------------------


class TagWatch:
    """Waits for a tag."""

    def __init__(self, tag: str, text: str = "") -> None:
        self._tag = tag
        self._end = text[-len(tag) :]

    def sees(self, piece: str) -> bool:
        text = self._end + piece
        self._end = text[-len(self._tag) :]
        return self._tag in text


class JsonWatch:
    """Waits for the end of the JSON object or list that `text` begins, judged by its brackets."""

    def __init__(self, text: str) -> None:
        self._depth = 0
        self._in_string = False
        self._escapes = False
        self._has_ended = False
        self.sees(text)

    def sees(self, piece: str) -> bool:
        at = 0
        if self._escapes and piece:
            at, self._escapes = 1, False
        while not self._has_ended:
            found = (_INSIDE if self._in_string else _OUTSIDE).search(piece, at)
            if found is None:
                break
            at = self._pass(found[0], found.end(), len(piece))
        return self._has_ended

    def _pass(self, mark: str, at: int, size: int) -> int:
        match mark:
            case '"':
                self._in_string = not self._in_string
            case "\\":
                self._escapes = at == size
                return at + 1
            case "{" | "[":
                self._depth += 1
            case _:
                self._depth -= 1
                self._has_ended = self._depth <= 0
        return at


def unfinished_arguments(name: str) -> ParserError:
    """The error of a reply that ends inside the arguments of a call.

    # Compat: prompting 2.4, Ollama's text for arguments that llama-server could not finish.
    """
    return ParserError(f'llama-server returned invalid tool call arguments for "{name}": unexpected end of JSON input')


def random_id() -> str:
    """As llama-server makes them: 32 letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(32))
