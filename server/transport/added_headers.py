"""Headers that a route adds to its answer, whoever comes to write that."""

from __future__ import annotations

from server.transport.asgi import Header, Message, Scope, Send

_KEY = "puna.added_headers"


def add_header(scope: Scope, header: Header) -> None:
    """For the answer to this request, also if it is an error."""
    scope.setdefault(_KEY, []).append(header)


def with_added_headers(scope: Scope, send: Send) -> Send:
    """`send`, with these headers at the end of the others."""
    added = scope.get(_KEY)
    if not added:
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with_headers
