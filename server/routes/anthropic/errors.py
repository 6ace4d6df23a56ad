"""The form of errors in Anthropic's dialect. # Compat: http-api 1.5, 9.2."""

from __future__ import annotations

import secrets
from typing import Any

from models.errors import ContextExceeded
from registry.gojson import encode
from server.errors import status_of
from server.routes.v1 import is_about_translation, json_line, native_answer, refused_line, routes_that_refuse
from server.transport.answers import JSON, Answer
from server.transport.asgi import Headers

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def new_id(prefix: str) -> str:
    """`req_` or `msg_` and 24 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(12)}"


def stream_error_body(error: Exception) -> dict[str, Any]:
    """As an event tells it."""
    kind = TYPES.get(status_of(error), "api_error")
    return {"type": "error", "error": {"type": kind, "message": _text(error)}}


def _text(error: Exception) -> str:
    if isinstance(error, ContextExceeded):  # in the words of Anthropic, which programs look for
        return f"prompt is too long: {error.n_prompt} tokens > {error.n_ctx} maximum"
    return str(error) or type(error).__name__


def error_body(error: Exception) -> dict[str, Any]:
    return stream_error_body(error) | {"request_id": new_id("req")}


def refusal_of_route(error: Exception) -> Answer:
    """What a route raised before there was a reply."""
    if is_about_translation(error):
        return Answer(status_of(error), [JSON], encode(error_body(error)))
    return json_line(status_of(error), error_body(error))


def refusal_of_reply(error: Exception, headers: Headers = (), *, stream: bool) -> Answer:
    """The answer in place of a reply; `headers` are those that the stream would have had."""
    return native_answer(error) or refused_line(error, error_body(error), headers, stream=stream)


AnthropicRoute = routes_that_refuse(refusal_of_route)
