"""The reply of a model with a Go template: thoughts and calls by the tags that the template shows."""

from __future__ import annotations

from collections.abc import Sequence

from models.parsers.events import Delta
from models.parsers.steps import with_ids
from models.parsers.thinking import ThinkingParser
from models.parsers.tools import TagCallParser


class InferredParser:
    """Thoughts first, calls in what follows them.

    `thinking_tags` None: thoughts are not split off. No `tool_names`: nothing is a call.
    `is_thinking`: the prompt ends with the opening tag. Calls come with ids of their own.
    # Compat: prompting 4.5, 5.4.
    """

    def __init__(
        self,
        thinking_tags: tuple[str, str] | None,
        tools_tag: str = "",
        tool_names: Sequence[str] = (),
        *,
        is_thinking: bool = False,
    ) -> None:
        self._thinking = ThinkingParser(*thinking_tags) if thinking_tags else None
        self._calls = TagCallParser(tools_tag, tool_names) if tool_names else None
        if self._thinking and thinking_tags and is_thinking:
            self._thinking.add(thinking_tags[0])

    def feed(self, text: str) -> list[Delta]:
        """Everything that is certain by now."""
        thought, content = self._thinking.add(text) if self._thinking else ("", text)
        if self._calls is None:
            return _told(Delta(content, thought))
        content, calls = self._calls.add(content)
        # Compat: prompting 4.5: where one chunk yields content and calls, the calls are lost.
        return _told(Delta(content, thought, () if content else with_ids(calls)))

    def finish(self) -> list[Delta]:
        """Text that was held back as the beginning of a call; the rest of a tag is lost, as in Ollama."""
        return _told(Delta(self._calls.remaining())) if self._calls else []


def _told(delta: Delta) -> list[Delta]:
    return [delta] if delta else []
