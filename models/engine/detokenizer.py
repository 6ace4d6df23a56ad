"""From pieces of tokens to text that may be sent: whole characters, nothing that may still become a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.engine.stop import find_stop, may_become_stop


class Released(NamedTuple):
    """Bytes that may be sent now; `stopped`: a stop string ends the text."""

    text: bytes
    stopped: bool


_NOTHING = Released(b"", False)


class Detokenizer:
    """Holds back what is not certain. Compat: llama.cpp's server, process_token: all unsent text or none of it."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stop.encode() for stop in stops)
        self._unsent = b""

    def feed(self, piece: bytes, *, is_end: bool = False) -> Released:
        """Add a token's piece. `is_end`: the token ends the generation, so nothing can complete a stop string."""
        unsent = self._unsent + piece if self._unsent else piece
        if not unsent.isascii() and ends_within_character(unsent):
            self._unsent = unsent
            return _NOTHING
        if self._stops:
            at = find_stop(unsent, len(piece), self._stops)
            if at is not None:
                self._unsent = b""
                return Released(unsent[:at], True)
            if not is_end and may_become_stop(unsent, self._stops):
                self._unsent = unsent
                return _NOTHING
        self._unsent = b""
        return Released(unsent, False)


def ends_within_character(text: bytes) -> bool:
    """Whether the last character lacks bytes."""
    return unfinished_size(text) > 0


def unfinished_size(text: bytes) -> int:
    """How many bytes at the end begin a character that lacks some. Invalid bytes are not waited for."""
    for back, byte in enumerate(reversed(text[-3:]), start=1):
        if byte & 0xC0 != 0x80:  # the first byte of a character
            return back if back < _length(byte) else 0
    return 0


def _length(first: int) -> int:
    if first & 0xE0 == 0xC0:
        return 2
    if first & 0xF0 == 0xE0:
        return 3
    return 4 if first & 0xF8 == 0xF0 else 1
