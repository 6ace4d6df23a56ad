"""Replies of Gemma 4: thoughts in a channel, content, calls with bare keys.

# Compat: prompting 6.10. What is held back is told when the reply ends; a call that cannot be read is dropped.
"""

from __future__ import annotations

import logging
from functools import partial

from models.parsers.gemma4_calls import parse_gemma4_call
from models.parsers.machine import Machine, ends_within
from models.parsers.steps import Expectations, ParserKind
from models.parsers.text import ltrim, rtrim

CHANNEL, CHANNEL_END = "<|channel>", "<channel|>"
CALL, CALL_END = "<|tool_call>", "<tool_call|>"
RESPONSE, QUOTE = "<|tool_response>", '<|"|>'
_CHANNEL_NAME = "thought\n"

_logger = logging.getLogger(__name__)


class Gemma4Parser(Machine):
    """After the result of a tool the reply goes on in the channel, without its opening."""

    def __init__(self, expectations: Expectations, *, is_thinking_model: bool) -> None:
        self._thinks = is_thinking_model and expectations.thinks(unless_said=False)
        self._expectations = expectations
        last = expectations.last_message
        is_in_channel = self._thinks and last is not None and last.role == "tool"
        super().__init__(self._read_thought if is_in_channel else self._read_content)

    def _read_content(self) -> bool:
        # Compat: a thought is looked for first; a call before it that came in the same run passes as content.
        for tag, state in ((CHANNEL, self._read_channel_name), (CALL, self._read_call)):
            before, found, rest = self._buffer.partition(tag)
            if found:
                self._content.append(rtrim(before))
                return self._go(state, rest)
        if not self._done and ends_within(self._buffer, CHANNEL, CALL):
            return self._flow(self._content.append, CHANNEL, CALL)
        self._content.append(self._take_all())
        return False

    def _read_channel_name(self) -> bool:
        if not self._done and len(self._buffer) < len(_CHANNEL_NAME) and _CHANNEL_NAME.startswith(self._buffer):
            return False
        return self._go(self._read_thought, self._buffer.removeprefix(_CHANNEL_NAME))

    def _read_thought(self) -> bool:
        before, tag, rest = self._buffer.partition(CHANNEL_END)
        if tag:
            self._tell_thought(rtrim(before))
            return self._go(self._read_content, ltrim(rest))
        if not self._done:
            return self._flow(self._tell_thought, CHANNEL_END)
        self._tell_thought(self._take_all())
        return False

    def _tell_thought(self, text: str) -> None:
        if self._thinks:
            self._thinking.append(text)

    def _read_call(self) -> bool:
        text, tag, rest = self._buffer.partition(CALL_END)
        if not tag and not self._done:
            return False
        call = parse_gemma4_call(text, self._expectations)
        if call is None:
            _logger.warning("dropped a call that is malformed")
        else:
            self._call(*call)
        return self._go(self._skip_noise if tag else self._read_content, ltrim(rest))

    def _skip_noise(self) -> bool:
        """Drop tags that a model repeats after a call."""
        text = ltrim(self._buffer)
        while (shorter := ltrim(text.removeprefix(CALL_END).removeprefix(RESPONSE))) != text:
            text = shorter
        if not (CALL_END.startswith(text) or RESPONSE.startswith(text)):
            return self._go(self._read_content, text)
        self._buffer = "" if self._done else text
        return False


_TAGS = (CHANNEL, CHANNEL_END, CALL, CALL_END, RESPONSE, QUOTE)


def _kind(*, thinks: bool) -> ParserKind:
    make = partial(Gemma4Parser, is_thinking_model=thinks)
    return ParserKind(make, has_tools=True, has_thinking=thinks, preserved=_TAGS)


GEMMA4, GEMMA4_NO_THINKING = _kind(thinks=True), _kind(thinks=False)
