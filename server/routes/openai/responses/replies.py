"""The events of a chat as a response: server-sent events of OpenAI's types, or one object.

# Compat: http-api 8.6; Ollama openai/responses.go ResponsesStreamConverter 0.33.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

from models.parsers.events import Delta, Finished, ToolCall, Usage
from registry.gojson import encode_sorted
from server.requests import Rendered
from server.routes.cuts import reply_cuts
from server.routes.events import Event, merge_events
from server.routes.openai.errors import refusal_of_reply
from server.routes.openai.responses.answer import (
    call_item,
    message_item,
    output_items,
    reasoning_item,
    response_fields,
    text_part,
)
from server.routes.openai.responses.schema import ResponseBody
from server.routes.v1 import SSE, UNCACHED, json_line
from server.transport.answers import Answer
from server.transport.asgi import Headers


def _new_id(prefix: str) -> str:
    return f"{prefix}_{random.randrange(999_999)}"


class ResponseEncoder:
    """Writes one reply. An item is added when its first part comes, and done when the next item begins or all ends."""

    stream_headers: Headers = (SSE, *UNCACHED)

    def __init__(self, body: ResponseBody, *, with_details: bool = False) -> None:
        self._body = body
        self._with_details = with_details
        self._id = _new_id("resp")
        self._message_id = _new_id("msg")
        self._created_s = int(time.time())
        self._n_events = 0
        self._output_index = 0
        self._done_items: list[dict[str, Any]] = []
        self._reasoning_id = ""
        self._thoughts: list[str] = []
        self._texts: list[str] = []
        self._has_calls = False

    # ---- what streaming.Encoder asks for ---------------------------------------------------------------------------

    def alone(self, event: Event) -> Answer | None:
        return None

    def record(self, event: Event) -> bytes:
        return b"".join(self._events(event))

    def collect(self, events: list[Event]) -> Answer:
        together, finished = merge_events(events)
        output = output_items(together, response_id=self._id, message_id=self._message_id)
        found = self._response("completed", output, finished.usage, streamed=False)
        return json_line(200, found | {"completed_at": int(time.time())} | reply_cuts(finished))

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        return refusal_of_reply(error, UNCACHED if stream else (), stream=stream)

    def failure(self, error: Exception) -> bytes:
        """Ollama's stream just ends here, which a client cannot tell from a broken connection."""
        told = {"error": {"code": "server_error", "message": str(error) or type(error).__name__}}
        response = self._response("failed", self._done_items, None) | told
        return self._event("response.failed", response=response)

    # ---- events ----------------------------------------------------------------------------------------------------

    def _events(self, event: Event) -> Iterator[bytes]:
        if not self._n_events:
            for kind in ("response.created", "response.in_progress"):
                yield self._event(kind, response=self._response("in_progress", [], None))
        match event:
            case Delta():
                yield from self._delta_events(event)
            case Finished(reason=None) | Rendered():
                pass
            case Finished():
                yield from self._delta_events(event.delta)
                yield from self._last_events(event)

    def _delta_events(self, delta: Delta) -> Iterator[bytes]:
        """# Compat: text that comes with calls, or after them, is dropped."""
        if delta.thinking:
            yield from self._reasoning_events(delta.thinking)
        if delta.tool_calls:
            yield from self._finish_reasoning()
            yield from self._call_events(delta.tool_calls)
            self._has_calls = True
        elif delta.content and not self._has_calls:
            yield from self._finish_reasoning()
            yield from self._text_events(delta.content)

    def _reasoning_events(self, text: str) -> Iterator[bytes]:
        index = self._output_index
        if not self._reasoning_id:
            self._reasoning_id = _new_id("rs")
            item = {"id": self._reasoning_id, "type": "reasoning", "summary": []}
            yield self._event("response.output_item.added", output_index=index, item=item)
        self._thoughts.append(text)
        place = {"item_id": self._reasoning_id, "output_index": index, "summary_index": 0}
        yield self._event("response.reasoning_summary_text.delta", **place, delta=text)

    def _finish_reasoning(self) -> Iterator[bytes]:
        if not self._reasoning_id:
            return
        text = "".join(self._thoughts)
        item = reasoning_item(self._reasoning_id, text)
        place = {"item_id": self._reasoning_id, "output_index": self._output_index, "summary_index": 0}
        yield self._event("response.reasoning_summary_text.done", **place, text=text)
        yield self._event("response.output_item.done", output_index=self._output_index, item=item)
        self._done_items.append(item)
        self._reasoning_id, self._thoughts = "", []
        self._output_index += 1

    def _text_events(self, text: str) -> Iterator[bytes]:
        place: dict[str, Any] = {"item_id": self._message_id, "output_index": self._output_index, "content_index": 0}
        if not self._texts:
            item = message_item(self._message_id, "") | {"status": "in_progress", "content": []}
            yield self._event("response.output_item.added", output_index=self._output_index, item=item)
            yield self._event("response.content_part.added", **place, part=text_part(""))
        self._texts.append(text)
        yield self._event("response.output_text.delta", **place, delta=text, logprobs=[])

    def _call_events(self, calls: Iterable[ToolCall]) -> Iterator[bytes]:
        """# Compat: the message before them is not done, and the first call takes its index."""
        first_index = self._output_index
        for i, call in enumerate(calls):
            index = first_index + i
            item = call_item(f"{_new_id('fc')}_{i}", call)
            begun = item | {"status": "in_progress", "arguments": ""}
            place = {"item_id": item["id"], "output_index": index}
            yield self._event("response.output_item.added", output_index=index, item=begun)
            yield self._event("response.function_call_arguments.delta", **place, delta=item["arguments"])
            yield self._event("response.function_call_arguments.done", **place, arguments=item["arguments"])
            yield self._event("response.output_item.done", output_index=index, item=item)
            self._done_items.append(item)
            self._output_index = index + 1

    def _last_events(self, finished: Finished) -> Iterator[bytes]:
        yield from self._finish_reasoning()
        output = self._done_items
        if self._texts:
            text = "".join(self._texts)
            item = message_item(self._message_id, text)
            if not self._has_calls:
                yield from self._done_message_events(item, text)
            output = [*output, item]
        response = self._response("completed", output or None, finished.usage) | {"completed_at": int(time.time())}
        yield self._event("response.completed", response=response | reply_cuts(finished))

    def _done_message_events(self, item: dict[str, Any], text: str) -> Iterator[bytes]:
        place = {"item_id": self._message_id, "output_index": self._output_index, "content_index": 0}
        yield self._event("response.output_text.done", **place, text=text, logprobs=[])
        yield self._event("response.content_part.done", **place, part=text_part(text))
        yield self._event("response.output_item.done", output_index=self._output_index, item=item)

    def _event(self, kind: str, **members: Any) -> bytes:
        payload = encode_sorted({"type": kind, "sequence_number": self._n_events} | members)
        self._n_events += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload)

    def _response(
        self, status: str, output: list[Any] | None, usage: Usage | None, *, streamed: bool = True
    ) -> dict[str, Any]:
        return response_fields(
            self._body,
            streamed=streamed,
            id_text=self._id,
            created_s=self._created_s,
            status=status,
            output=output,
            usage=usage,
            with_details=self._with_details,
        )
