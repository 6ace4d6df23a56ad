"""Bodies within a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.transport.bodies import BodyTooLarge, ClientGone, awaits_continue, drain, must_drain, read_body


def scope(*headers: tuple[bytes, bytes], version: str = "1.1") -> dict[str, Any]:
    return {"headers": list(headers), "http_version": version}


class Incoming:
    """A `receive` that plays messages and then waits for ever."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.left = list(messages)

    async def __call__(self) -> dict[str, Any]:
        if not self.left:
            await asyncio.Event().wait()
        return self.left.pop(0)


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def read(incoming: Incoming, limit: int = 10, *headers: tuple[bytes, bytes]) -> bytes:
    return bytes(asyncio.run(read_body(scope(*headers), incoming, limit)))


def test_a_body_is_put_together() -> None:
    assert read(Incoming(part(b"ab", more=True), part(b"", more=True), part(b"c", more=False))) == b"abc"
    assert read(Incoming(part(b"", more=False))) == b""


def test_a_body_at_the_limit_is_read_and_one_beyond_is_refused() -> None:
    assert read(Incoming(part(b"x" * 10, more=False))) == b"x" * 10
    for messages in ((part(b"x" * 11, more=False),), (part(b"x" * 6, more=True), part(b"x" * 5, more=False))):
        with pytest.raises(BodyTooLarge):
            read(Incoming(*messages))


def test_an_announced_length_is_refused_before_anything_is_read() -> None:
    incoming = Incoming(part(b"x", more=False))
    with pytest.raises(BodyTooLarge):
        read(incoming, 10, (b"content-length", b"11"))
    assert len(incoming.left) == 1


@pytest.mark.parametrize("messages", [(GONE,), (part(b"a", more=True), GONE)])
def test_a_client_that_leaves_early_has_no_body(messages: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ClientGone):
        read(Incoming(*messages))


@pytest.mark.parametrize("messages", [(part(b"a", more=True), part(b"b", more=False)), (part(b"a", more=True), GONE)])
def test_draining_reads_to_the_end(messages: tuple[dict[str, Any], ...]) -> None:
    incoming = Incoming(*messages)
    asyncio.run(drain(incoming))
    assert incoming.left == []


def test_draining_does_not_wait_for_ever() -> None:
    asyncio.run(drain(Incoming(part(b"a", more=True)), limit_s=0.01))


def test_only_a_connection_that_closes_needs_draining() -> None:
    assert not must_drain(scope())
    assert must_drain(scope((b"connection", b"Close")))
    assert must_drain(scope(version="1.0"))


def test_a_client_may_wait_for_a_word_before_it_sends() -> None:
    assert awaits_continue(scope((b"expect", b"100-Continue")))
    assert not awaits_continue(scope())
