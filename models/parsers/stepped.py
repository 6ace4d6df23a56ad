"""The way from a built-in parser, which may refuse what a model wrote, into a stream, which goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from models.parsers.errors import ParserError
from models.parsers.events import Delta
from models.parsers.steps import Expectations, Step, StepParser, with_ids
from models.parsers.text import ltrim, trim
from models.templates.chat import Message, Think

_log = logging.getLogger(__name__)
_THOUGHTS = (("<think>", "</think>"), ("<|START_THINKING|>", "<|END_THINKING|>"), ("[THINK]", "[/THINK]"))
"""Of the parsers that refuse anything."""
_WITHIN_AN_ANSWER = Message("assistant", "…")


class SteppedParser:
    """A built-in parser as a `StreamParser`. Calls get ids of their own, as the chat endpoint gives them.

    A call that the parser refuses is content, as it was written, and what follows it is read anew; Ollama ends the
    reply there with an error (prompting.md 6.21).
    """

    def __init__(self, make: Callable[[Expectations], StepParser], expectations: Expectations) -> None:
        self._make, self._expectations = make, expectations
        self._parser = make(expectations)
        self._untold: list[str] = []
        """What was fed since something was last told: tags, and what is held back."""
        self._n_calls = 0
        self._n_calls_before = 0
        """Calls told by parsers that came before this one."""

    def feed(self, text: str) -> list[Delta]:
        """Everything that is certain by now."""
        return self._told(text, is_last=False)

    def finish(self) -> list[Delta]:
        """What was held back."""
        return self._told("", is_last=True)

    def _told(self, text: str, *, is_last: bool) -> list[Delta]:
        self._untold.append(text)
        try:
            step = self._parser.add(text, is_last)
        except ParserError:
            _log.warning("a malformed tool call is kept as content")
            return self._kept()
        if not any(step):
            return []
        self._untold = [_after("".join(self._untold), step)]
        self._n_calls += len(step.calls)
        calls = (replace(call, index=call.index + self._n_calls_before) for call in step.calls)
        return [Delta(step.content, step.thinking, with_ids(tuple(calls)))]

    def _kept(self) -> list[Delta]:
        """Everything that was not told yet, as content; what comes next is part of an answer, or a call."""
        thought, content = _split("".join(self._untold))
        within = replace(self._expectations, last_message=_WITHIN_AN_ANSWER, think=Think(False))
        self._parser, self._untold, self._n_calls_before = self._make(within), [], self._n_calls
        return [Delta(content, thought)] if content or thought else []


def _split(text: str) -> tuple[str, str]:
    """The thought, of which not all need stand there, and what follows it."""
    for opening, closing in _THOUGHTS:
        thought, tag, rest = text.partition(closing)
        if tag:
            return trim(thought.rpartition(opening)[2]), ltrim(rest)
    return "", text


def _after(text: str, step: Step) -> str:
    """What of a text comes after all that a step tells of it."""
    if step.calls:
        return ""
    ends = (text.rfind(told) + len(told) for told in (step.thinking, step.content) if told and told in text)
    return text[max(ends, default=len(text)) :]
