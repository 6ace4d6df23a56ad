from __future__ import annotations

import asyncio

import pytest

from bench.load import Exchange, LoadFailed, post_all


def ask(*answers: bytes) -> list[Exchange]:
    """Send as many requests as there are answers to a server that sends exactly those bytes."""

    async def run() -> list[Exchange]:
        waiting = list(answers)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Content-Length: 2\r\n" in head and await reader.readexactly(2) == b"{}"
            writer.write(waiting.pop(0))
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            return await post_all(f"http://{host}:{port}", "/x", [b"{}"] * len(answers))

    return asyncio.run(run())


def test_the_chunks_of_an_answer_are_joined() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    (exchange,) = ask(head + b"4\r\none\n\r\n5;x=y\r\ntwo\r\n\r\n0\r\n\r\n")
    assert exchange.body == b"one\ntwo\r\n"
    assert 0 < exchange.first_byte_s <= exchange.last_byte_s


def test_an_answer_with_a_length_is_taken_as_it_is() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
    assert [exchange.body for exchange in ask(answer, answer)] == [b"one", b"one"]


def test_a_refusal_ends_the_measurement() -> None:
    with pytest.raises(LoadFailed, match="no such model"):
        ask(b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nno such model")


def test_later_requests_wait_until_the_first_are_being_answered() -> None:
    """The server answers the second request at once and the first only bit by bit: still the first is ahead."""
    order: list[bytes] = []
    all_came = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        order.append(await reader.readexactly(2))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome")
        await writer.drain()
        if len(order) == 3:
            all_came.set()
        await all_came.wait()
        writer.close()

    async def run() -> list[Exchange]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            return await post_all(f"http://{host}:{port}", "/x", [b"1a", b"1b", b"2a"], n_first=2)

    *firsts, last = asyncio.run(run())
    assert order[2] == b"2a"
    assert all(first.first_byte_s <= last.sent_s for first in firsts)
    assert [exchange.body for exchange in (*firsts, last)] == [b"some"] * 3
