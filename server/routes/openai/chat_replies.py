"""The events of a chat as chat completions: server-sent chunks, or one object.

# Compat: http-api 8.2; Ollama openai/openai.go ToChunks, middleware/openai.go ChatWriter 0.33.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

from models.parsers.events import Delta, DoneReason, Finished, TokenLogprob, ToolCall, Usage
from registry.gojson import encode
from server.requests import Rendered
from server.routes.cuts import reply_cuts
from server.routes.events import LOADING, Event, logprob_fields, merge_events
from server.routes.openai.choices import ChoiceEvent, by_choice, of_choice, total_usage
from server.routes.openai.errors import error_body, refusal_of_reply
from server.routes.tools import arguments_text
from server.routes.usage import has_details
from server.routes.v1 import SSE, json_line
from server.transport.answers import Answer
from server.transport.asgi import Headers

DONE = b"data: [DONE]\n\n"
FINGERPRINT = "fp_ollama"


class ChatEncoder:
    """Writes one reply, of one or several choices."""

    stream_headers: Headers = (SSE,)

    def __init__(
        self, model: str, *, stream: bool, with_usage: bool, with_details: bool = False, n_choices: int = 1
    ) -> None:
        """`with_usage`: at the end of a stream. `with_details`: of the usage, also where little was cached."""
        self._model = model
        self._stream = stream
        self._with_usage = with_usage
        self._with_details = with_details
        self._id = f"chatcmpl-{random.randrange(999)}"
        self._head = b"data: " + encode(self._fields("chat.completion.chunk"))[:-1] + b',"choices":['
        self._writers = [_ChoiceWriter(index, self._head) for index in range(n_choices)]
        self._ends: list[Finished] = []
        self._has_begun = False

    # ---- what streaming.Encoder asks for ---------------------------------------------------------------------------

    def alone(self, event: ChoiceEvent) -> Answer | None:
        _, event = of_choice(event)
        if isinstance(event, Rendered) and not self._stream:
            return json_line(200, self._completion([_choice(0, "", Delta(), Finished(None))], Usage(), event))
        if isinstance(event, Rendered) or (isinstance(event, Finished) and event.reason in LOADING):
            return Answer(200, self.stream_headers, self.record(event)) if self._stream else None
        return None

    def record(self, event: ChoiceEvent) -> bytes:
        index, event = of_choice(event)
        record = self._opening() + b"".join(self._writers[index].chunks(event))
        return record + self._finish(event) if isinstance(event, Finished) else record

    def collect(self, events: list[ChoiceEvent]) -> Answer:
        merged = [merge_events(own) for own in by_choice(events, len(self._writers))]
        choices = [_choice(index, "assistant", *one) for index, one in enumerate(merged)]
        return json_line(200, self._completion(choices, total_usage([finished for _, finished in merged])))

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        return refusal_of_reply(error, stream=stream)

    def failure(self, error: Exception) -> bytes:
        """Ollama's stream just ends here, which a client cannot tell from a complete reply."""
        return b"data: " + encode(error_body(error)) + b"\n\n"

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _opening(self) -> bytes:
        """Several choices begin in the order of their numbers, as at OpenAI: its library relies on that."""
        if self._has_begun or len(self._writers) == 1:
            return b""
        self._has_begun = True
        return b"".join(writer.opening() for writer in self._writers)

    def _finish(self, end: Finished) -> bytes:
        """What comes after the last choice.

        # Compat: http-api 4.7: the repetition guard's end is not told.
        """
        self._ends.append(end)
        if len(self._ends) < len(self._writers) or end.reason is None:
            return b""
        if not self._with_usage:
            return DONE
        usage = usage_fields(total_usage(self._ends), with_details=self._with_details)
        return self._head + b'],"usage":' + encode(usage) + b"}\n\n" + DONE

    def _completion(
        self, choices: list[dict[str, Any]], usage: Usage, rendered: Rendered | None = None
    ) -> dict[str, Any]:
        found = self._fields("chat.completion") | {"choices": choices}
        found["usage"] = usage_fields(usage, with_details=self._with_details)
        if rendered is not None:
            found["_debug_info"] = _debug_fields(rendered)
        return found

    def _fields(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": int(time.time()),
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }


class _ChoiceWriter:
    """Writes the chunks of one choice; `head` is what all chunks begin with."""

    def __init__(self, index: int, head: bytes) -> None:
        self._index = index
        self._head = head
        self._has_begun = False
        self._has_calls = False

    def opening(self) -> bytes:
        """A chunk that says nothing yet."""
        return self._chunk({"content": ""})

    def chunks(self, event: Event) -> Iterator[bytes]:
        match event:
            case Delta():
                yield from self._delta_chunks(event)
            case Finished(reason=None):
                pass
            case Finished():
                yield from self._last_chunks(event)
            case Rendered():
                yield from self._delta_chunks(Delta())

    def _delta_chunks(self, delta: Delta) -> Iterator[bytes]:
        """One, or two where thoughts and what follows them came together; log-probabilities go with the first."""
        said = {"content": delta.content} | _calls(delta.tool_calls)
        if not delta.thinking:
            yield self._chunk(said, delta.logprobs)
        elif not delta.content and not delta.tool_calls:
            yield self._chunk(said | {"reasoning": delta.thinking}, delta.logprobs)
        else:
            yield self._chunk({"reasoning": delta.thinking}, delta.logprobs)
            yield self._chunk(said)
        self._has_calls = self._has_calls or bool(delta.tool_calls)

    def _last_chunks(self, finished: Finished) -> Iterator[bytes]:
        """The reason stands in a chunk of its own; a reply that said nothing has an empty one before it."""
        if finished.delta or not self._has_begun:
            yield from self._delta_chunks(finished.delta)
        yield self._chunk({}, end=finished)

    def _chunk(
        self, delta: dict[str, Any], logprobs: Iterable[TokenLogprob] = (), *, end: Finished | None = None
    ) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            delta = {"role": "assistant"} | delta
        reason = _finish_reason(end, has_calls=self._has_calls) if end else None
        choice: dict[str, Any] = {"index": self._index, "delta": delta, "finish_reason": reason} | _logprobs(logprobs)
        return self._head + encode(choice | reply_cuts(end) if end else choice) + b"]}\n\n"


def _choice(index: int, role: str, delta: Delta, finished: Finished) -> dict[str, Any]:
    """Of a reply that is not streamed."""
    message: dict[str, Any] = {"role": role, "content": delta.content}
    if delta.thinking:
        message["reasoning"] = delta.thinking
    message |= _calls(delta.tool_calls)
    reason = _finish_reason(finished, has_calls=bool(delta.tool_calls))
    found = {"index": index, "message": message, "finish_reason": reason} | _logprobs(delta.logprobs)
    return found | reply_cuts(finished)


def usage_fields(usage: Usage, *, with_details: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompt_tokens": usage.n_prompt,
        "completion_tokens": usage.n_generated,
        "total_tokens": usage.n_prompt + usage.n_generated,
    }
    if has_details(usage, wanted=with_details):
        found["prompt_tokens_details"] = {"cached_tokens": usage.n_cached}
        found["completion_tokens_details"] = {"reasoning_tokens": usage.n_thinking}
    return found


def _finish_reason(finished: Finished, *, has_calls: bool) -> str | None:
    if finished.reason is DoneReason.STOP and has_calls:
        return "tool_calls"
    return finished.reason


def _calls(calls: Iterable[ToolCall]) -> dict[str, Any]:
    found = [
        {
            "id": call.id,
            "index": call.index,
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_text(call)},
        }
        for call in calls
    ]
    return {"tool_calls": found} if found else {}


def _logprobs(logprobs: Iterable[TokenLogprob]) -> dict[str, Any]:
    found = logprob_fields(logprobs)
    return {"logprobs": {"content": found}} if found else {}


def _debug_fields(rendered: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = {"rendered_template": rendered.prompt}
    return found | ({"image_count": rendered.n_images} if rendered.n_images else {})
