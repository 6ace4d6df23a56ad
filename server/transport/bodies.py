"""Request bodies: read within a limit, or left unread without upsetting the client that still sends."""

from __future__ import annotations

import asyncio

from server.transport.asgi import Receive, Scope, header

DRAIN_S = 10.0


class BodyTooLarge(Exception):
    """More bytes than the server reads into memory; the rest was left unread."""

    def __init__(self) -> None:
        super().__init__("request body too large")


class ClientGone(Exception):
    """The client closed the connection before its request was complete; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes | bytearray:
    """The whole body. Raises: BodyTooLarge (at once where the length is announced), ClientGone."""
    announced = header(scope, b"content-length")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise BodyTooLarge
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = bytes(message["body"])
        if len(body) > limit_bytes:
            raise BodyTooLarge
        return body
    whole = bytearray()
    while message["type"] == "http.request":
        whole += message["body"]
        if len(whole) > limit_bytes:
            raise BodyTooLarge
        if not message.get("more_body"):
            return whole
        message = await receive()
    raise ClientGone


def must_drain(scope: Scope) -> bool:
    """Whether an answer that leaves the body unread would close the connection under a client that still sends.

    A connection that stays open needs nothing: what comes is read over. One that closes with unread input is reset,
    and the reset may overtake the answer.
    """
    return scope["http_version"] == "1.0" or b"close" in header(scope, b"connection").lower()


def awaits_continue(scope: Scope) -> bool:
    """Whether the client waits for a 100 before it sends; it must then be told that the connection ends."""
    return header(scope, b"expect").lower() == b"100-continue"


async def drain(receive: Receive, limit_s: float = DRAIN_S) -> None:
    """Read the rest of a body and forget it; give up after a while."""
    try:
        async with asyncio.timeout(limit_s):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
