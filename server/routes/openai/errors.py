"""The form of errors in OpenAI's dialect. # Compat: http-api 1.5, 8.1."""

from __future__ import annotations

from typing import Any

from models.errors import ContextExceeded
from registry.gojson import encode
from server.errors import status_of
from server.routes.v1 import is_about_translation, json_line, native_answer, refused_line, routes_that_refuse
from server.transport.answers import JSON, Answer
from server.transport.asgi import Headers

CONTEXT_EXCEEDED = "context_length_exceeded"
TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def error_body(error: Exception, status: int | None = None) -> dict[str, Any]:
    kind = TYPES.get(status_of(error) if status is None else status, "api_error")
    if isinstance(error, ContextExceeded):
        return _told(_too_long(error), kind, CONTEXT_EXCEEDED)
    return _told(str(error) or type(error).__name__, kind, None)


def _told(text: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def _too_long(error: ContextExceeded) -> str:
    """In the words of OpenAI, which programs look for."""
    return (
        f"This model's maximum context length is {error.n_ctx} tokens. However, your messages resulted in "
        f"{error.n_prompt} tokens. Please reduce the length of the messages."
    )


def refusal_of_route(error: Exception) -> Answer:
    """What a route raised before there was a reply."""
    if is_about_translation(error):
        return Answer(status_of(error), [JSON], encode(error_body(error)))
    return error_line(error)


def error_line(error: Exception, status: int | None = None) -> Answer:
    """An error found by what serves all dialects; `status` where it is not the usual one."""
    return json_line(status_of(error) if status is None else status, error_body(error, status))


def refusal_of_reply(error: Exception, headers: Headers = (), *, stream: bool) -> Answer:
    """The answer in place of a reply; `headers` are those that the stream would have had."""
    return native_answer(error) or refused_line(error, error_body(error), headers, stream=stream)


OpenAIRoute = routes_that_refuse(refusal_of_route)
