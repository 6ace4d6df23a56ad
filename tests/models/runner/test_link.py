"""Frames as the socket brings them: whole, in pieces, several at once, and nonsense."""

from __future__ import annotations

import asyncio

import pytest

from models.runner.link import Link
from models.runner.messages import FRAME_HEAD_BYTES, Chunk, FromRunner, Loading, encode_frame

SENT: list[FromRunner] = [Loading(0.5), Chunk(1, "ä"), Chunk(2, "")]
STREAM = b"".join(map(encode_frame, SENT))


class _Transport(asyncio.WriteTransport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def connected() -> tuple[Link, _Transport, list[FromRunner | None]]:
    said: list[FromRunner | None] = []
    link, transport = Link(said.append), _Transport()
    link.connection_made(transport)
    return link, transport, said


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 1000])
def test_messages_arrive_whole_however_the_bytes_do(size: int) -> None:
    link, _, said = connected()
    for at in range(0, len(STREAM), size):
        link.data_received(STREAM[at : at + size])
    assert said == SENT


def test_the_end_is_told_once() -> None:
    link, _, said = connected()
    link.connection_lost(None)
    link.connection_lost(None)
    assert said == [None]


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff\xff", (3).to_bytes(FRAME_HEAD_BYTES, "big") + b"\xc1\xc1\xc1"])
def test_nonsense_ends_the_link_after_what_came_before_it(nonsense: bytes) -> None:
    link, transport, said = connected()
    link.data_received(STREAM + nonsense)
    link.data_received(STREAM)
    link.connection_lost(None)
    assert said == [*SENT, None]
    assert transport.closed


def test_what_is_sent_into_a_closed_link_is_dropped() -> None:
    link, transport, _ = connected()
    link.send(b"one")
    link.close()
    link.send(b"two")
    assert transport.written == b"one"
