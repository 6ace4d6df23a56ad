"""The runner's end of the socket, against a real socket pair."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from models.runner.courier import Courier, Disconnected
from models.runner.messages import Cancel, Chunk, FromRunner, Tokenize, ToRunner, decode_from_runner, encode_frame


class Server:
    """The other end."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.courier = Courier(theirs)
        self.delivered: list[ToRunner] = []
        self.ended: list[str] = []
        self._received = b""

    def read(self) -> FromRunner:
        while len(self._received) < 4 or len(self._received) < 4 + int.from_bytes(self._received[:4], "big"):
            data = self.socket.recv(1 << 20)
            assert data, "the runner hung up"
            self._received += data
        end = 4 + int.from_bytes(self._received[:4], "big")
        frame, self._received = self._received[4:end], self._received[end:]
        return decode_from_runner(frame)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The courier at work in a thread, until the server hangs up."""

        def run() -> None:
            try:
                self.courier.run(self.delivered.append)
                self.ended.append("closed")
            except (Disconnected, msgspec.DecodeError) as error:
                self.ended.append(type(error).__name__)

        thread = threading.Thread(target=run)
        thread.start()
        yield
        self.socket.close()
        thread.join(timeout=10)
        assert not thread.is_alive()
        self.courier.close()


def test_frames_arrive_whole_however_they_are_cut() -> None:
    server = Server()
    raw = encode_frame(Cancel(1)) + encode_frame(Tokenize(2, "x" * 1000)) + encode_frame(Cancel(3))
    with server.running():
        for start in range(0, len(raw), 7):
            server.socket.sendall(raw[start : start + 7])
    assert [message.request_id for message in server.delivered if not isinstance(message, str)] == [1, 2, 3]  # type: ignore[union-attr]
    assert server.ended == ["Disconnected"]


def test_the_first_message_is_taken_out_of_what_follows_it() -> None:
    server = Server()
    server.socket.sendall(encode_frame(Cancel(1)) + encode_frame(Cancel(2)))
    assert server.courier.receive_one() == Cancel(1)
    with server.running():
        pass
    assert server.delivered == [Cancel(2)]


def test_messages_are_sent_in_order() -> None:
    server = Server()
    with server.running():
        for i in range(500):
            server.courier.post([Chunk(i, "text")])
        assert [server.read() for _ in range(500)] == [Chunk(i, "text") for i in range(500)]


def test_a_server_that_does_not_read_blocks_nobody_and_gets_everything_later() -> None:
    server = Server()
    text = "x" * 10_000
    with server.running():
        for i in range(5000):
            server.courier.post([Chunk(i, text)])
        assert not server.courier.wait_until_flowing(0)
        server.socket.sendall(encode_frame(Cancel(7)))
        assert [server.read() for _ in range(5000)][-1] == Chunk(4999, text)
        assert server.courier.wait_until_flowing(10)
    assert server.delivered == [Cancel(7)]


def test_it_closes_when_the_last_word_is_sent() -> None:
    server = Server()
    with server.running():
        server.courier.post([Chunk(1, "bye")])
        server.courier.close_when_sent()
        assert server.read() == Chunk(1, "bye")
    assert server.ended == ["closed"]


@pytest.mark.parametrize("frame", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1"], ids=["endless", "nonsense"])
def test_what_is_no_message_ends_it(frame: bytes) -> None:
    server = Server()
    server.socket.sendall(frame)
    with pytest.raises(msgspec.DecodeError):
        server.courier.run(server.delivered.append)
    server.courier.close()
    server.socket.close()
