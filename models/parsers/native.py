"""The reply of a model that is served through its own chat template: thoughts, content, calls at the end."""

from __future__ import annotations

from typing import assert_never

from models.parsers.body_calls import BodyCallReader
from models.parsers.call_blocks import BlockReader, CallBlocks
from models.parsers.events import Delta, StreamParser
from models.parsers.json_calls import JsonCallReader
from models.parsers.named_calls import AddressedReader, NamedCallReader
from models.parsers.native_harmony import NativeHarmonyParser
from models.parsers.python_code import PythonTagReader
from models.parsers.reasoning import ReasoningSplit
from models.parsers.steps import Expectations
from models.parsers.syntax import (
    PYTHON_TAG,
    AddressedCalls,
    BodyCalls,
    CallSyntax,
    HarmonyCalls,
    JsonCalls,
    NamedCalls,
    ReasoningTags,
)
from models.parsers.wrappers import WithoutTags

_BLANKS = " \n\r\t\v\f"


def native_parser(
    reasoning: ReasoningTags | None,
    calls: CallSyntax | None,
    expectations: Expectations,
    primer: str = "",
    *,
    wrappers: tuple[str, ...] = (),
) -> StreamParser:
    """What reads the reply. `primer`: what the prompt holds of it; `wrappers`: tags around content, to be dropped."""
    if isinstance(calls, HarmonyCalls):
        return NativeHarmonyParser(expectations, primer)
    return NativeParser(reasoning, calls, expectations, primer, wrappers=wrappers)


class NativeParser:
    """Thoughts first, then content, then calls; the calls come with `finish`, however early they are complete.

    `primer`: what the prompt already holds of the reply (an opened thought, the beginning of an answer); it is read
    but not told. Without `calls` or tools nothing is taken for a call.
    # Compat: prompting 2.4; llama.cpp drops whitespace before a reply unless nothing can be found in it.
    """

    def __init__(
        self,
        reasoning: ReasoningTags | None,
        calls: JsonCalls | NamedCalls | BodyCalls | AddressedCalls | None,
        expectations: Expectations,
        primer: str = "",
        *,
        wrappers: tuple[str, ...] = (),
    ) -> None:
        self._reasoning = ReasoningSplit(reasoning) if reasoning else None
        is_read = calls is not None and (expectations.tools or isinstance(calls, AddressedCalls))
        self._calls = CallBlocks(_readers(calls, expectations)) if calls and is_read else None
        self._wrappers = WithoutTags(wrappers) if wrappers else None
        self._skips_blanks = self._reasoning is None and self._calls is not None
        if primer:
            self.feed(primer)

    def feed(self, text: str) -> list[Delta]:
        """Everything that is certain by now."""
        thought, rest = self._reasoning.feed(text) if self._reasoning else ("", text)
        return _told(thought, self._content(rest))

    def finish(self) -> list[Delta]:
        """What was held back, and the calls. Raises: ParserError for a reply that was cut off inside a call."""
        thought, rest = self._reasoning.finish() if self._reasoning else ("", "")
        content = self._content(rest)
        held, calls = self._calls.finish() if self._calls else ("", ())
        if self._wrappers:
            held = self._wrappers.feed(held) + self._wrappers.finish()
        if self._calls is None:
            return _told(thought, content + held)
        delta = Delta(content + held, thought, calls)
        return [delta] if delta else []

    def _content(self, text: str) -> str:
        if self._skips_blanks:
            text = text.lstrip(_BLANKS)
            self._skips_blanks = not text
        text = self._calls.feed(text) if self._calls else text
        return self._wrappers.feed(text) if self._wrappers else text


def _readers(
    syntax: JsonCalls | NamedCalls | BodyCalls | AddressedCalls, expectations: Expectations
) -> list[BlockReader]:
    """What reads blocks of this form; of two for one tag, the last."""
    match syntax:
        case JsonCalls():
            return _with_python(JsonCallReader(syntax, expectations), expectations)
        case NamedCalls():
            return _with_python(NamedCallReader(syntax, expectations), expectations)
        case BodyCalls():
            return [BodyCallReader(syntax, expectations)]
        case AddressedCalls():
            return [AddressedReader(syntax, expectations)]
        case _:
            assert_never(syntax)


def _with_python(reader: BlockReader, expectations: Expectations) -> list[BlockReader]:
    return [reader, PythonTagReader(reader, expectations)] if PYTHON_TAG in reader.starts else [reader]


def _told(thought: str, content: str) -> list[Delta]:
    deltas = (Delta(thinking=thought), Delta(content))
    return [delta for delta in deltas if delta]
