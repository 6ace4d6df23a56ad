"""Progress of create, pull and push: one line for each step, or only the last word. # Compat: http-api 6.8 to 6.10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from registry.gojson import encode
from server.errors import status_of
from server.routes.native.replies import error_body
from server.transport.answers import BARE_JSON, NDJSON, Answer
from server.transport.asgi import Headers


class Step(Protocol):
    """What models.create and the registry call Progress; counts are bytes, 0 when they say nothing."""

    @property
    def status(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def total(self) -> int: ...
    @property
    def completed(self) -> int: ...


class ProgressEncoder:
    """`statuses` override the table of errors for what goes wrong before the first line, or without a stream."""

    stream_headers: Headers = (NDJSON,)

    def __init__(self, statuses: Mapping[type[Exception], int] | None = None) -> None:
        self._statuses = statuses or {}

    def alone(self, event: Step) -> Answer | None:
        return None

    def record(self, event: Step) -> bytes:
        return encode(_fields(event)) + b"\n"

    def collect(self, events: list[Step]) -> Answer:
        return Answer(200, [BARE_JSON], encode(_fields(events[-1])) if events else b"")

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        headers: Headers = [BARE_JSON, *([(b"transfer-encoding", b"chunked")] if stream else [])]
        status = next((s for kind, s in self._statuses.items() if isinstance(error, kind)), None) or status_of(error)
        return Answer(status, headers, encode(error_body(error)))

    def failure(self, error: Exception) -> bytes:
        return encode(error_body(error)) + b"\n"


def _fields(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"status": step.status}
    if step.digest:
        found["digest"] = step.digest
    if step.total:
        found["total"] = step.total
    if step.completed:
        found["completed"] = step.completed
    return found
