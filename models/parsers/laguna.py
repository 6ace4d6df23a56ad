"""Replies of Poolside's Laguna: thoughts, content, and calls in several forms.

# Compat: prompting 6.15, 6.16. In each run the tags of thoughts are looked for before those of calls, wherever they
stand. The end of the reply releases what was held back. A plain JSON object passes for a call
when there are tools, and one that is none ends the reply; a brace that comes alone begins no such call.
"""

from __future__ import annotations

from functools import partial

from models.parsers.errors import ParserError
from models.parsers.json_values import decode_start, is_blank
from models.parsers.laguna_calls import parse_laguna_call
from models.parsers.machine import Machine
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import ltrim, overlap, rtrim

THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
USER, USER_END = "<user>", "</user>"


class LagunaParser(Machine):
    """`heeds_prefill` False: the last message of the prompt does not matter."""

    def __init__(self, expectations: Expectations, *, heeds_prefill: bool) -> None:
        self._expectations = expectations
        self._thinks = expectations.thinks(unless_said=False)
        self._has_content = False
        last = expectations.last_message
        continues = heeds_prefill and last is not None and last.role == "assistant"
        super().__init__(self._read_opening if self._thinks and not continues else self._read_content)

    # ---- thoughts --------------------------------------------------------------------------------------------------

    def _read_opening(self) -> bool:
        text = ltrim(self._buffer)
        if text.startswith(THINK):
            return self._go_past_spaces(self._read_thought, text.removeprefix(THINK))
        is_open = not text or (not self._done and THINK.startswith(text))
        return not is_open and self._go(self._read_thought, text)

    def _read_thought(self) -> bool:
        before, tag, rest = self._buffer.partition(THINK_END)
        if tag:
            self._tell_thought(rtrim(before))
            return self._go(self._read_content, ltrim(rest))
        before, tag, rest = self._buffer.partition(CALL)
        if tag:
            self._tell_thought(rtrim(before))
            return self._go(self._read_call, rest)
        if self._done:
            self._tell_thought(rtrim(self._take_all()))
            return False
        # Compat: a thought is told when it stands before a blank or what may become a tag, not earlier.
        n_held = self._n_held(THINK_END, CALL)
        if 0 < n_held < len(self._buffer):
            self._tell_thought(self._take(len(self._buffer) - n_held))
        return False

    def _tell_thought(self, text: str) -> None:
        if self._thinks:
            self._thinking.append(text)

    # ---- content ---------------------------------------------------------------------------------------------------

    def _read_content(self) -> bool:
        if not self._has_content:
            self._buffer = ltrim(self._buffer)
            if self._buffer.startswith(THINK_END):
                return self._go(self._read_content, self._buffer.removeprefix(THINK_END))
        before, tag, rest = self._buffer.partition(THINK)
        if tag:
            self._tell(before)
            return self._go_past_spaces(self._read_thought, rest)
        before, tag, rest = self._buffer.partition(CALL)
        if tag:
            self._tell(rtrim(before))
            return self._go(self._read_call, rest)
        if self._expectations.tools and (place := self._find_bare_call()) is not None:
            sent = rtrim(self._buffer[:place])
            self._tell(self._take(len(sent)))
            return self._read_bare_call(place - len(sent))
        if self._done:
            self._tell(rtrim(self._take_all()))
            return False
        tags = (CALL, USER, THINK) if self._thinks else (CALL, USER, THINK, THINK_END)
        self._tell(self._take(len(self._buffer) - self._n_held(*tags)))
        return False

    def _tell(self, text: str) -> None:
        self._has_content = self._has_content or bool(text)
        self._content.append(text)

    def _take(self, size: int) -> str:
        text, self._buffer = self._buffer[:size], self._buffer[size:]
        return text

    def _n_held(self, *tags: str) -> int:
        n_spaces = len(self._buffer) - len(rtrim(self._buffer))
        return max(n_spaces, *(overlap(self._buffer, tag) for tag in tags))

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _read_call(self) -> bool:
        body, tag, rest = self._buffer.partition(CALL_END)
        if not tag and (not self._done or is_blank(body)):
            return False
        self._call(*parse_laguna_call(body, self._expectations))
        return self._go(self._read_content, rest)

    def _find_bare_call(self) -> int | None:
        """Where something begins that is, or may become, a call without its tag."""
        place = self._buffer.find(USER)
        while place >= 0:
            if self._may_be_user_call(place + len(USER)):
                return place
            place = self._buffer.find(USER, place + 1)
        place = self._buffer.find("{")
        text = self._buffer[place:]
        is_begun = text.startswith(('{"', "{\n")) and not self._done
        return place if place >= 0 and (is_begun or '"name"' in text or '"arguments"' in text) else None

    def _may_be_user_call(self, start: int) -> bool:
        body, tag, _ = self._buffer[start:].partition(USER_END)
        if not tag:
            return not self._done
        try:
            name, _ = parse_laguna_call(body, self._expectations)
        except ParserError:
            return False
        return self._expectations.tool(name) is not None

    def _read_bare_call(self, place: int) -> bool:
        """Read the call that begins at a place in the buffer, unless it is not complete yet."""
        text = self._buffer[place:]
        if text.startswith(USER):
            body, tag, rest = text.removeprefix(USER).partition(USER_END)
            if not tag:
                return False
        elif self._done or _may_be_complete(text):
            try:
                _, end = decode_start(text)
            except ValueError:
                if not self._done:
                    return False
                end = len(text)
            body, rest = text[:end], text[end:]
        else:
            return False
        self._call(*parse_laguna_call(body, self._expectations))
        return self._go(self._read_content, rest)


def _may_be_complete(text: str) -> bool:
    """Whether it is worth while to decode a JSON object that comes in pieces."""
    return rtrim(text).endswith("}") and text.count("}") >= text.count("{")


_TAGS = (THINK, THINK_END, CALL, CALL_END, USER, USER_END, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")


def _kind(*, heeds_prefill: bool) -> ParserKind:
    make = partial(LagunaParser, heeds_prefill=heeds_prefill)
    return ParserKind(make, has_tools=True, has_thinking=True, preserved=_TAGS)


LAGUNA, POOLSIDE_V1 = _kind(heeds_prefill=True), _kind(heeds_prefill=False)
