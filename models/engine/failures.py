"""Final answers to requests that come to nothing."""

from __future__ import annotations

from models.errors import BadRequest, ContextExceeded, LoadError, ModelError, Unsupported, UnusableOutput
from models.runner.messages import Failed, FailureKind, Finished, Reason

_KINDS: dict[type[ModelError], FailureKind] = {
    Unsupported: FailureKind.UNSUPPORTED,
    ContextExceeded: FailureKind.CONTEXT_EXCEEDED,
    BadRequest: FailureKind.BAD_REQUEST,
    UnusableOutput: FailureKind.UNUSABLE_OUTPUT,
    LoadError: FailureKind.LOAD,
    ModelError: FailureKind.INTERNAL,
}


def to_failed(request_id: int, error: ModelError) -> Failed:
    """The final answer for an error, its kind looked up along the class order."""
    kind = next(_KINDS[parent] for parent in type(error).__mro__ if parent in _KINDS)
    if isinstance(error, ContextExceeded):
        return Failed(request_id, kind, str(error), error.n_prompt, error.n_ctx)
    return Failed(request_id, kind, str(error))


def to_cancelled(request_id: int) -> Finished:
    """The final answer to a request that was cancelled before anything was computed for it."""
    return Finished(request_id, Reason.CANCELLED, n_prompt=0, n_cached=0, prompt_ns=0, n_generated=0, decode_ns=0)
