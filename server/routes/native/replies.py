"""The events of a reply as the native API writes them: NDJSON records, or one object.

# Compat: http-api 4.7, 4.8, 4.9, 6.11, 6.12.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from models.parsers.events import Delta, DoneReason, Finished, ToolCall, Usage
from registry.gojson import encode, encode_time
from server.errors import OF_THE_ENGINE, status_of
from server.requests import Rendered
from server.routes.cuts import reply_cuts
from server.routes.events import Event, logprob_fields, merge_events
from server.routes.native.translate import from_tool_call
from server.transport.answers import BARE_JSON, JSON, NDJSON, Answer
from server.transport.asgi import Headers


def json_answer(status: int, value: Any) -> Answer:
    return Answer(status, [JSON], encode(value))


def error_answer(error: Exception, *, status: int | None = None) -> Answer:
    """# Compat: http-api 2.4."""
    return json_answer(status_of(error) if status is None else status, error_body(error))


def error_body(error: Exception) -> dict[str, str]:
    return {"error": str(error) or type(error).__name__}


class ReplyEncoder:
    """What chat and generate have in common; the two differ in the names and the order of keys."""

    stream_headers: Headers = (NDJSON,)
    text_prefix: bytes
    """What stands between the time and the text of a plain record."""
    text_suffix: bytes

    def __init__(self, model: str) -> None:
        self._model = model
        self._before_time = b'{"model":' + encode(model) + b',"created_at":"'

    # ---- what streaming.Encoder asks for ---------------------------------------------------------------------------

    def alone(self, event: Event) -> Answer | None:
        """# Compat: http-api 4.7: loads, unloads and debug answers are single objects even when streaming."""
        if isinstance(event, Rendered):
            info: dict[str, Any] = {"rendered_template": event.prompt}
            if event.n_images:
                info["image_count"] = event.n_images
            return json_answer(200, self._object(Delta(), debug=info))
        if isinstance(event, Finished) and event.reason in (DoneReason.LOAD, DoneReason.UNLOAD):
            return json_answer(200, self._object(event.delta, event))
        return None

    def record(self, event: Event) -> bytes:
        if isinstance(event, Delta):
            if not (event.thinking or event.tool_calls or event.logprobs):
                # Nearly all records are this one.
                return b"".join(
                    (self._before_time, _now(), self.text_prefix, encode(event.content), self.text_suffix, b"\n")
                )
            return encode(self._object(event)) + b"\n"
        if isinstance(event, Finished) and event.reason is not None:
            return encode(self._object(event.delta, event)) + b"\n"
        return b""  # Compat: http-api 4.7: a reply that the repetition guard ended has no last record

    def collect(self, events: list[Event]) -> Answer:
        together, finished = merge_events(events)
        return json_answer(200, self._object(together, finished if finished.reason is not None else None))

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        if stream and isinstance(error, OF_THE_ENGINE):
            return first_record_answer(error)
        return error_answer(error)

    def failure(self, error: Exception) -> bytes:
        return encode(error_body(error)) + b"\n"

    # ---- what the two fill in --------------------------------------------------------------------------------------

    def _object(self, delta: Delta, finished: Finished | None = None, debug: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def _head(self) -> dict[str, Any]:
        return {"model": self._model, "created_at": _now().decode()}


def first_record_answer(error: Exception) -> Answer:
    """An error where a stream was to begin. # Compat: http-api 1.5: no charset, and chunked."""
    headers = [BARE_JSON, (b"transfer-encoding", b"chunked")]
    return Answer(status_of(error), headers, encode(error_body(error)))


class ChatEncoder(ReplyEncoder):
    """`/api/chat`. `has_tools`: the request offered some."""

    text_prefix = b'","message":{"role":"assistant","content":'
    text_suffix = b'},"done":false}'

    def _object(self, delta: Delta, finished: Finished | None = None, debug: dict[str, Any] | None = None) -> Any:
        found = self._head()
        found["message"] = _message("" if debug else "assistant", delta)
        found["done"] = finished is not None
        if finished is not None and finished.reason is not None:
            found["done_reason"] = finished.reason.value
        if debug:
            found["_debug_info"] = debug
        if delta.logprobs:
            found["logprobs"] = logprob_fields(delta.logprobs)
        return found | (_metrics(finished.usage) | reply_cuts(finished) if finished else {})


class GenerateEncoder(ReplyEncoder):
    """`/api/generate`."""

    text_prefix = b'","response":'
    text_suffix = b',"done":false}'

    def _object(self, delta: Delta, finished: Finished | None = None, debug: dict[str, Any] | None = None) -> Any:
        found = self._head()
        found["response"] = delta.content
        if delta.thinking:
            found["thinking"] = delta.thinking
        found["done"] = finished is not None
        if finished is not None and finished.reason is not None:
            found["done_reason"] = finished.reason.value
        if finished is not None:
            if finished.context:
                found["context"] = finished.context
            found |= _metrics(finished.usage)
        if delta.tool_calls:
            found["tool_calls"] = _calls(delta.tool_calls)
        if debug:
            found["_debug_info"] = debug
        if delta.logprobs:
            found["logprobs"] = logprob_fields(delta.logprobs)
        return found | (reply_cuts(finished) if finished else {})


def _message(role: str, delta: Delta) -> dict[str, Any]:
    found: dict[str, Any] = {"role": role, "content": delta.content}
    if delta.thinking:
        found["thinking"] = delta.thinking
    if delta.tool_calls:
        found["tool_calls"] = _calls(delta.tool_calls)
    return found


def _calls(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    return [from_tool_call(call) for call in calls]


def _metrics(usage: Usage) -> dict[str, int]:
    """Nanoseconds and counts; what is 0 is left out."""
    found = {
        "total_duration": usage.total_ns,
        "load_duration": usage.load_ns,
        "prompt_eval_count": usage.n_prompt,
        "prompt_eval_duration": usage.prompt_ns,
        "eval_count": usage.n_generated,
        "eval_duration": usage.decode_ns,
    }
    return {key: value for key, value in found.items() if value}


def _now() -> bytes:
    return encode_time(time.time_ns(), utc=True).encode()
