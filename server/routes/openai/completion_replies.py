"""The events of a completion: server-sent chunks, or one object; thoughts are not told.

# Compat: http-api 8.3; Ollama openai/openai.go ToCompleteChunk, middleware/openai.go CompleteWriter 0.33.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

from models.parsers.events import Delta, DoneReason, Finished, Usage
from registry.gojson import encode
from server.requests import Rendered
from server.routes.cuts import reply_cuts
from server.routes.events import LOADING, merge_events
from server.routes.openai.chat_replies import DONE, FINGERPRINT, usage_fields
from server.routes.openai.choices import Choice, ChoiceEvent, by_choice, of_choice, total_usage
from server.routes.openai.completion_logprobs import CompletionLogprobs, mean_logprob
from server.routes.openai.errors import error_body, refusal_of_reply
from server.routes.v1 import SSE, json_line
from server.transport.answers import Answer
from server.transport.asgi import Headers


class CompletionEncoder:
    """Writes one reply, of one or several choices."""

    stream_headers: Headers = (SSE,)

    def __init__(
        self, model: str, *, stream: bool, with_usage: bool, with_details: bool = False, with_logprobs: bool = False,
        scores_prompt: bool = False, n_prompts: int = 1, n_candidates: int = 1, n_told: int = 1,
    ) -> None:  # fmt: skip
        """`n_candidates`: replies to each prompt, the best `n_told` of which are told."""
        self._stream = stream
        self._with_usage = with_usage
        self._with_details = with_details
        self._n_candidates = n_candidates
        self._n_told = n_told
        self._begin = {
            "id": f"cmpl-{random.randrange(999)}",
            "object": "text_completion",
            "created": int(time.time()),
        }
        self._end = {"model": model, "system_fingerprint": FINGERPRINT}
        self._head = b"data: " + encode(self._begin)[:-1] + b',"choices":['
        self._tail = b"]," + encode(self._end)[1:-1]
        self._with_logprobs = with_logprobs
        self._logprobs = [CompletionLogprobs(scores_prompt=scores_prompt) for _ in range(n_prompts * n_candidates)]
        self._ends: list[Finished] = []

    # ---- what streaming.Encoder asks for ---------------------------------------------------------------------------

    def alone(self, event: ChoiceEvent) -> Answer | None:
        _, inner = of_choice(event)
        is_short = isinstance(inner, Rendered) or (isinstance(inner, Finished) and inner.reason in LOADING)
        is_only = not isinstance(event, Choice)
        return Answer(200, self.stream_headers, self.record(event)) if is_short and is_only and self._stream else None

    def record(self, event: ChoiceEvent) -> bytes:
        index, event = of_choice(event)
        match event:
            case Delta():
                return self._chunk(index, event)
            case Finished(reason=None):
                return self._finish(event)
            case Finished():
                return self._chunk(index, event.delta, event) + self._finish(event)
            case Rendered():
                return self._chunk(index, Delta())

    def collect(self, events: list[ChoiceEvent]) -> Answer:
        merged = [merge_events(own) for own in by_choice(events, len(self._logprobs))]
        told = self._best(merged)
        choices = [self._choice(index, *merged[candidate], candidate) for index, candidate in enumerate(told)]
        usage = self._usage_fields([finished for _, finished in merged])
        return json_line(200, self._begin | self._end | {"choices": choices, "usage": usage})

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        return refusal_of_reply(error, stream=stream)

    def failure(self, error: Exception) -> bytes:
        """Ollama's stream just ends here, which a client cannot tell from a complete reply."""
        return b"data: " + encode(error_body(error)) + b"\n\n"

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _best(self, merged: Sequence[tuple[Delta, Finished]]) -> list[int]:
        """The numbers of the candidates that are told: of each prompt, those whose tokens were the most likely."""
        found: list[int] = []
        for first in range(0, len(merged), self._n_candidates):
            candidates = range(first, first + self._n_candidates)
            found += sorted(candidates, key=lambda i: -mean_logprob(merged[i][0].logprobs))[: self._n_told]
        return found if self._n_told < self._n_candidates else list(range(len(merged)))

    def _choice(self, index: int, delta: Delta, finished: Finished, candidate: int) -> dict[str, Any]:
        found = _choice_fields(index, delta.content, finished.reason) | self._logprob_fields(candidate, delta)
        return found | reply_cuts(finished)

    def _logprob_fields(self, candidate: int, delta: Delta) -> dict[str, Any]:
        return {"logprobs": self._logprobs[candidate].fields(delta)} if self._with_logprobs else {}

    def _finish(self, end: Finished) -> bytes:
        """What comes after the last choice. # Compat: http-api 4.7: the repetition guard's end is not told."""
        self._ends.append(end)
        if len(self._ends) < len(self._logprobs) or end.reason is None:
            return b""
        if not self._with_usage:
            return DONE
        usage = b',"usage":' + encode(self._usage_fields(self._ends))
        return b"".join((self._head, self._tail, usage, b"}\n\n", DONE))

    def _usage_fields(self, ends: Sequence[Finished]) -> dict[str, Any]:
        return usage_fields(total_usage(ends, self._n_candidates), with_details=self._with_details)

    def _chunk(self, index: int, delta: Delta, end: Finished | None = None) -> bytes:
        """# Compat: with usage wanted, every chunk tells one, of zeros."""
        usage = b',"usage":' + encode(usage_fields(Usage())) if self._with_usage else b""
        choice = _choice_fields(index, delta.content, end.reason if end else None) | self._logprob_fields(index, delta)
        choice |= reply_cuts(end) if end else {}
        return b"".join((self._head, encode(choice), self._tail, usage, b"}\n\n"))


def _choice_fields(index: int, text: str, reason: DoneReason | None) -> dict[str, Any]:
    return {"text": text, "index": index, "finish_reason": reason}
