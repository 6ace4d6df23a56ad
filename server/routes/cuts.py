"""What the context had no room for, in the same words in every dialect; the fields are there only if it happened.

They stand where the end of a reply is told (beside `done_reason`, `finish_reason` or `stop_reason`, or in the response
object), not in the usage: that comes only when it is asked for, and programs add it up.
"""

from __future__ import annotations

from typing import Any

from models.parsers.events import Finished
from server.requests import Embeddings

MAX_TOLD_INPUTS = 100


def reply_cuts(finished: Finished) -> dict[str, Any]:
    """Of the prompt of a reply, and of the reply."""
    usage, found = finished.usage, dict[str, Any]()
    if finished.is_context_full:
        found["done_detail"] = "context"
    if usage.n_original:
        found |= _counts(usage.n_original, usage.n_prompt)
    if usage.n_dropped:
        found["dropped_messages_count"] = usage.n_dropped
    if usage.n_shifted:
        found["shifted_count"] = usage.n_shifted
    return found


def input_cuts(found: Embeddings) -> dict[str, Any]:
    """Of inputs that were embedded: tokens of all of them together, and those cut, the first of which one by one."""
    if not found.cuts:
        return {}
    n_lost = sum(cut.n_original - cut.n_kept for cut in found.cuts)
    return _counts(found.n_tokens + n_lost, found.n_tokens) | {
        "truncated_inputs_count": len(found.cuts),
        "truncated_inputs": [
            {"index": cut.index, "prompt_original_count": cut.n_original, "prompt_kept_count": cut.n_kept}
            for cut in found.cuts[:MAX_TOLD_INPUTS]
        ],
    }


def _counts(n_original: int, n_kept: int) -> dict[str, Any]:
    return {"truncated": True, "prompt_original_count": n_original, "prompt_kept_count": n_kept}
