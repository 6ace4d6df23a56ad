"""What every dialect does with events: join them, and write their log-probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from models.parsers.events import Delta, DoneReason, Finished, TokenLogprob
from server.requests import Rendered

Event = Delta | Finished | Rendered

LOADING = (DoneReason.LOAD, DoneReason.UNLOAD)
"""Ends of what was no reply."""


def merge_events(events: Sequence[Event]) -> tuple[Delta, Finished]:
    """One delta that says what all of them say, and the end; a reply without one has been abandoned."""
    deltas = [event if isinstance(event, Delta) else event.delta for event in events if not isinstance(event, Rendered)]
    together = Delta(
        content="".join(d.content for d in deltas),
        thinking="".join(d.thinking for d in deltas),
        tool_calls=tuple(call for d in deltas for call in d.tool_calls),
        logprobs=tuple(token for d in deltas for token in d.logprobs),
    )
    last = events[-1] if events else None
    return together, last if isinstance(last, Finished) else Finished(None)


def logprob_fields(logprobs: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """# Compat: http-api 4.9, also for OpenAI's dialect."""
    return [
        _logprob(token.text, token.logprob)
        | ({"top_logprobs": [_logprob(other.text, other.logprob) for other in token.top]} if token.top else {})
        for token in logprobs
    ]


def _logprob(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
