"""The events of a completion: server-sent chunks, or one object; thoughts are not told.

# Compat: http-api 8.3; Ollama openai/openai.go ToCompleteChunk, middleware/openai.go CompleteWriter 0.33.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from models.parsers.events import Delta, DoneReason, Finished, Usage
from registry.gojson import encode
from server.requests import Rendered
from server.routes.events import LOADING, Event, merge_events
from server.routes.openai.chat_replies import DONE, FINGERPRINT, usage_fields
from server.routes.openai.errors import error_body, refusal_of_reply
from server.routes.v1 import SSE, json_line
from server.transport.answers import Answer
from server.transport.asgi import Headers


class CompletionEncoder:
    """Writes one reply."""

    stream_headers: Headers = (SSE,)

    def __init__(self, model: str, *, stream: bool, with_usage: bool) -> None:
        self._stream = stream
        self._with_usage = with_usage
        self._begin = {
            "id": f"cmpl-{random.randrange(999)}",
            "object": "text_completion",
            "created": int(time.time()),
        }
        self._end = {"model": model, "system_fingerprint": FINGERPRINT}
        self._head = b"data: " + encode(self._begin)[:-1] + b',"choices":['
        self._tail = b"]," + encode(self._end)[1:-1]

    # ---- what streaming.Encoder asks for ---------------------------------------------------------------------------

    def alone(self, event: Event) -> Answer | None:
        is_short = isinstance(event, Rendered) or (isinstance(event, Finished) and event.reason in LOADING)
        return Answer(200, self.stream_headers, self.record(event)) if is_short and self._stream else None

    def record(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._chunk(event.content, None)
            case Finished(reason=None):
                return b""  # Compat: http-api 4.7: the repetition guard's end is not told
            case Finished():
                return b"".join(self._last_chunks(event))
            case Rendered():
                return self._chunk("", None)

    def collect(self, events: list[Event]) -> Answer:
        together, finished = merge_events(events)
        choices = [_choice(together.content, finished.reason)]
        return json_line(200, self._begin | self._end | {"choices": choices, "usage": usage_fields(finished.usage)})

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        return refusal_of_reply(error, stream=stream)

    def failure(self, error: Exception) -> bytes:
        """Ollama's stream just ends here, which a client cannot tell from a complete reply."""
        return b"data: " + encode(error_body(error)) + b"\n\n"

    # ---- chunks ----------------------------------------------------------------------------------------------------

    def _last_chunks(self, finished: Finished) -> Iterator[bytes]:
        yield self._chunk(finished.delta.content, finished.reason)
        if self._with_usage:
            yield self._head + self._tail + _usage_member(finished.usage) + b"}\n\n"
        yield DONE

    def _chunk(self, text: str, reason: DoneReason | None) -> bytes:
        """# Compat: with usage wanted, every chunk tells one, of zeros."""
        usage = _usage_member(Usage()) if self._with_usage else b""
        return b"".join((self._head, encode(_choice(text, reason)), self._tail, usage, b"}\n\n"))


def _choice(text: str, reason: DoneReason | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "finish_reason": reason}


def _usage_member(usage: Usage) -> bytes:
    return b',"usage":' + encode(usage_fields(usage))
