"""Replies to requests that offer a search on the web, which this server cannot do.

A model that wants to search is answered for the server: the search failed. # Compat: http-api 9.3; Ollama
middleware/anthropic.go WebSearchAnthropicWriter 0.33, with its cloud turned off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.parsers.events import Delta, Finished, ToolCall
from server.routes.anthropic.replies import MessageEncoder, message_event
from server.routes.anthropic.translate import WEB_SEARCH
from server.routes.events import Event, merge_events
from server.routes.v1 import UNCACHED, json_line
from server.transport.answers import NDJSON, Answer

STOP_REASON = "end_turn"


class SearchEncoder(MessageEncoder):
    """Writes one reply. Once the model searches, nothing else that it says is told."""

    stream_headers = (NDJSON, *UNCACHED)
    """Compat: though what comes are server-sent events."""

    _search: ToolCall | None = None

    def collect(self, events: list[Event]) -> Answer:
        search = next((call for event in events for call in _searches(event)), None)
        if search is None:
            return super().collect(events)
        _, finished = merge_events(events)
        return json_line(200, self._message(self._failed_search(search), finished, STOP_REASON))

    def _events(self, event: Event) -> Iterator[bytes]:
        self._search = self._search or next(iter(_searches(event)), None)
        if self._search is None:
            yield from super()._events(event)
        elif isinstance(event, Finished) and event.reason is not None:
            yield from self._begin(event)
            yield from self._finish(self._open)
            for block in self._failed_search(self._search):
                yield message_event("content_block_start", index=self._index, content_block=block)
                yield message_event("content_block_stop", index=self._index)
                self._index += 1
            yield from self._end(event, STOP_REASON)

    def _failed_search(self, search: ToolCall) -> list[dict[str, Any]]:
        """What the server was asked to do, and how that ended."""
        query = search.arguments.get("query")
        text = query if isinstance(query, str) else ""
        id_text = "srvtoolu_" + self._id.removeprefix("msg_")
        failure = {
            "type": "web_search_tool_result_error",
            "error_code": "unavailable" if text else "invalid_request",
        }
        return [
            {"type": "server_tool_use", "id": id_text, "name": WEB_SEARCH, "input": {"query": text}},
            {"type": "web_search_tool_result", "tool_use_id": id_text, "content": failure},
        ]


def _searches(event: Event) -> list[ToolCall]:
    delta = event.delta if isinstance(event, Finished) else event
    return [call for call in delta.tool_calls if call.name == WEB_SEARCH] if isinstance(delta, Delta) else []
