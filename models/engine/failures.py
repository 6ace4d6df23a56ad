"""What a failure is called on the way to the server."""

from __future__ import annotations

from models.errors import BadRequest, ModelError, Unsupported, UnusableOutput
from models.runner.messages import Failed, FailureKind

_KINDS: dict[type[ModelError], FailureKind] = {
    Unsupported: FailureKind.UNSUPPORTED,
    BadRequest: FailureKind.BAD_REQUEST,
    UnusableOutput: FailureKind.UNUSABLE_OUTPUT,
    ModelError: FailureKind.INTERNAL,
}


def to_failed(request_id: int, error: ModelError) -> Failed:
    """The final answer for an error, its kind looked up along the class order."""
    kind = next(_KINDS[parent] for parent in type(error).__mro__ if parent in _KINDS)
    return Failed(request_id, kind, str(error))
