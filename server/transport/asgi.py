"""The types of ASGI, as far as they are used here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
Headers = Sequence[Header]


def header(scope: Scope, name: bytes) -> bytes:
    """The first value of a header (`name` in lower case); empty where there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""
