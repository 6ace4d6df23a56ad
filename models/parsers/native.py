"""The reply of a model that is served through its own chat template: thoughts, content, calls at the end."""

from __future__ import annotations

from collections.abc import Collection

from models.parsers.events import Delta
from models.parsers.json_calls import JsonCallParser
from models.parsers.reasoning import ReasoningSplit
from models.parsers.syntax import JsonCalls, ReasoningTags

_BLANKS = " \n\r\t\v\f"


class NativeParser:
    """Thoughts first, then content, then calls; the calls come with `finish`, however early they are complete.

    `primer`: what the prompt already holds of the reply (an opened thought, the beginning of an answer); it is read
    but not told. Without `calls` or `tool_names` nothing is taken for a call.
    # Compat: prompting 2.4; llama.cpp drops whitespace before a reply unless nothing can be found in it.
    """

    def __init__(
        self,
        reasoning: ReasoningTags | None,
        calls: JsonCalls | None,
        tool_names: Collection[str] = (),
        primer: str = "",
    ) -> None:
        self._reasoning = ReasoningSplit(reasoning) if reasoning else None
        self._calls = JsonCallParser(calls, tool_names) if calls and tool_names else None
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
        if self._calls is None:
            return _told(thought, content)
        held, calls = self._calls.finish()
        delta = Delta(content + held, thought, calls)
        return [delta] if delta else []

    def _content(self, text: str) -> str:
        if self._skips_blanks:
            text = text.lstrip(_BLANKS)
            self._skips_blanks = not text
        return self._calls.feed(text) if self._calls else text


def _told(thought: str, content: str) -> list[Delta]:
    deltas = (Delta(thinking=thought), Delta(content))
    return [delta for delta in deltas if delta]
