"""The runner's end of the socket: frames in, frames out, while another thread computes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from models.runner.messages import MAX_FRAME_BYTES, FromRunner, ToRunner, decode_to_runner, encode_frame

_RECEIVE_BYTES = 1 << 18
_CLOGGED = 4096
"""Messages that may wait to be sent before the engine had better wait too."""


class Disconnected(Exception):
    """The server closed the socket, or is gone."""


class Courier:
    """Moves messages. `run` belongs to one thread; the rest may be called from any.

    What the socket takes at once is sent by whoever posts it, which saves a change of threads for every token; the
    rest is sent by `run`, when the server has read some.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._received = bytearray()
        self._lock = threading.Lock()  # over what is to be sent
        self._waiting: deque[FromRunner] = deque()
        self._unsent = bytearray()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = False

    def receive_one(self) -> ToRunner:
        """Block until the first message is there. Raises: Disconnected, msgspec.DecodeError."""
        while (message := self._take()) is None:
            self._fill()
        return message

    def post(self, messages: Iterable[FromRunner]) -> None:
        """Send in order, now or as soon as the server reads."""
        with self._lock:
            self._waiting.extend(messages)
            self._send()
            is_stuck = bool(self._unsent)
        if is_stuck:
            self._wake()

    def wait_until_flowing(self, timeout_s: float) -> bool:
        """False: the server still reads too slowly to be sent more."""
        return self._flowing.is_set() or self._flowing.wait(timeout_s)  # to wait takes a lock, even if it is set

    def run(self, deliver: Callable[[ToRunner], None]) -> None:
        """Move messages until `close_when_sent`. Raises: Disconnected, msgspec.DecodeError."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        while True:
            while (message := self._take()) is not None:
                deliver(message)
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            for fd, events in poll.poll():
                if fd == self._wake_read:
                    os.read(fd, 4096)
                elif events & ~select.POLLOUT:
                    self._fill()
                if self._send_rest() and self._closing:
                    return

    def close_when_sent(self) -> None:
        """Let `run` return when all that was posted is sent."""
        self._closing = True
        self._wake()

    def close(self) -> None:
        """Free the socket and the pipe; `run` has ended."""
        self._socket.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # ---- out -------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Give the socket what it takes. A server that is gone is noticed where its messages are read."""
        while self._waiting or self._unsent:
            while self._waiting and len(self._unsent) < _RECEIVE_BYTES:
                self._unsent += encode_frame(self._waiting.popleft())
            try:
                n = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                break
            del self._unsent[:n]
        self._flowing.set() if len(self._waiting) < _CLOGGED else self._flowing.clear()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # then it is full, and `run` will wake up all the same
            os.write(self._wake_write, b"\0")

    def _send_rest(self) -> bool:
        """False: there is more to send."""
        with self._lock:
            self._send()
            return not self._waiting and not self._unsent

    # ---- in --------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except OSError as error:
            raise Disconnected from error
        if not data:
            raise Disconnected
        self._received += data

    def _take(self) -> ToRunner | None:
        """The next complete frame among what was received."""
        received = self._received
        if len(received) < 4:
            return None
        length = int.from_bytes(received[:4], "big")
        if length > MAX_FRAME_BYTES:
            raise msgspec.DecodeError(f"a frame of {length} bytes is too long")
        if len(received) - 4 < length:
            return None
        message = decode_to_runner(bytes(memoryview(received)[4 : 4 + length]))
        del received[: 4 + length]
        return message
