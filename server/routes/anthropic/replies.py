"""The events of a chat as a message: server-sent events of Anthropic's types, or one object.

# Compat: http-api 9.2, 9.3; Ollama anthropic/anthropic.go StreamConverter 0.33.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.parsers.events import Delta, DoneReason, Finished, ToolCall, Usage
from registry.gojson import encode
from server.routes.anthropic.errors import new_id, refusal_of_reply, stream_error_body
from server.routes.cuts import reply_cuts
from server.routes.events import Event, merge_events
from server.routes.tools import arguments_text, sorted_arguments
from server.routes.usage import has_details
from server.routes.v1 import SSE, UNCACHED, json_line
from server.transport.answers import Answer
from server.transport.asgi import Headers

STOP_REASONS = {DoneReason.STOP: "end_turn", DoneReason.LENGTH: "max_tokens"}
OTHER_REASON = "stop_sequence"
"""Compat: what loading a model is told as."""


class MessageEncoder:
    """Writes one reply.

    `n_estimated`: tokens of the prompt, told until they are known. `tells_cache`: the client reads what was cached;
    with `with_details`, also where that is little.
    """

    stream_headers: Headers = (SSE, *UNCACHED)

    def __init__(self, model: str, n_estimated: int, *, tells_cache: bool = False, with_details: bool = False) -> None:
        self._model = model
        self._tells_cache = tells_cache
        self._with_details = with_details
        self._n_estimated = n_estimated
        self._id = new_id("msg")
        self._has_begun = False
        self._index = 0
        self._open = ""  # the type of the block that is being told
        self._has_thought = False
        self._call_ids: set[str] = set()

    # ---- what streaming.Encoder asks for ---------------------------------------------------------------------------

    def alone(self, event: Event) -> Answer | None:
        return None

    def record(self, event: Event) -> bytes:
        return b"".join(self._events(event))

    def collect(self, events: list[Event]) -> Answer:
        together, finished = merge_events(events)
        reason = _stop_reason(finished, has_calls=bool(together.tool_calls))
        return json_line(200, self._message(_blocks(together) or None, finished, reason))

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        return refusal_of_reply(error, UNCACHED if stream else (), stream=stream)

    def failure(self, error: Exception) -> bytes:
        """Ollama's stream just ends here, which a client cannot tell from a broken connection."""
        return b"event: error\ndata: " + encode(stream_error_body(error)) + b"\n\n"

    # ---- events ----------------------------------------------------------------------------------------------------

    def _events(self, event: Event) -> Iterator[bytes]:
        yield from self._begin(event)
        delta = event.delta if isinstance(event, Finished) else event
        if isinstance(delta, Delta):
            yield from self._delta_events(delta)
        if isinstance(event, Finished) and event.reason is not None:
            yield from self._finish(self._open)
            yield from self._end(event, _stop_reason(event, has_calls=bool(self._call_ids)))

    def _delta_events(self, delta: Delta) -> Iterator[bytes]:
        """# Compat: once something else was told, thoughts are dropped."""
        if delta.thinking and not self._has_thought:
            yield from self._add("thinking", "thinking_delta", delta.thinking)
        if delta.content:
            yield from self._finish("thinking")
            yield from self._add("text", "text_delta", delta.content)
        for call in delta.tool_calls:
            if call.id not in self._call_ids:
                yield from self._call_events(call)

    def _add(self, kind: str, delta_kind: str, text: str) -> Iterator[bytes]:
        """To the open block, or to a new one."""
        if self._open != kind:
            self._open = kind
            yield message_event("content_block_start", index=self._index, content_block={"type": kind, kind: ""})
        yield message_event("content_block_delta", index=self._index, delta={"type": delta_kind, kind: text})

    def _call_events(self, call: ToolCall) -> Iterator[bytes]:
        yield from self._finish("thinking")
        yield from self._finish("text")
        self._call_ids.add(call.id)
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield message_event("content_block_start", index=self._index, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": arguments_text(call)}
        yield message_event("content_block_delta", index=self._index, delta=delta)
        self._open = "tool_use"
        yield from self._finish("tool_use")

    def _finish(self, kind: str) -> Iterator[bytes]:
        if not kind or self._open != kind:
            return
        self._has_thought = self._has_thought or kind == "thinking"
        self._open = ""
        yield message_event("content_block_stop", index=self._index)
        self._index += 1

    def _begin(self, event: Event) -> Iterator[bytes]:
        """Before the first event; the tokens of the prompt are known by then only if that is the last one, too."""
        if self._has_begun:
            return
        self._has_begun = True
        n_input = event.usage.n_prompt if isinstance(event, Finished) else 0
        message = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "usage": {"input_tokens": n_input or self._n_estimated, "output_tokens": 0},
        }
        yield message_event("message_start", message=message)

    def _end(self, finished: Finished, reason: str) -> Iterator[bytes]:
        delta = {"stop_reason": reason} | reply_cuts(finished)
        yield message_event("message_delta", delta=delta, usage=self._usage_fields(finished.usage))
        yield message_event("message_stop")

    # ---- one object ------------------------------------------------------------------------------------------------

    def _message(self, blocks: list[dict[str, Any]] | None, finished: Finished, reason: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": blocks,
        }
        if reason:
            found["stop_reason"] = reason
        return found | {"usage": self._usage_fields(finished.usage)} | reply_cuts(finished)

    def _usage_fields(self, usage: Usage) -> dict[str, int]:
        """What was cached is no input anew: Anthropic's numbers add up."""
        if not self._tells_cache or not has_details(usage, wanted=self._with_details):
            return {"input_tokens": usage.n_prompt, "output_tokens": usage.n_generated}
        return {
            "input_tokens": usage.n_prompt - usage.n_cached,
            "output_tokens": usage.n_generated,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.n_cached,
        }


def message_event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind} | members))


def _blocks(delta: Delta) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if delta.thinking:
        blocks.append({"type": "thinking", "thinking": delta.thinking})
    if delta.content:
        blocks.append({"type": "text", "text": delta.content})
    for call in delta.tool_calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": sorted_arguments(call)})
    return blocks


def _stop_reason(finished: Finished, *, has_calls: bool) -> str:
    """Empty for a reply that was abandoned."""
    if has_calls:
        return "tool_use"
    return STOP_REASONS.get(finished.reason, OTHER_REASON) if finished.reason else ""
