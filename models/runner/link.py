"""The server's end of the socket to a runner: frames out, and messages handed on the moment they are complete.

A protocol and not a stream: what arrives is handed on in the same turn of the event loop. For every token that saves a
turn and a change of tasks, which is felt where the server shares its cores with the model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from models.runner.messages import FRAME_HEAD_BYTES, MAX_FRAME_BYTES, FromRunner, decode_from_runner

logger = logging.getLogger(__name__)


class Link(asyncio.Protocol):
    """Calls `deliver` with each message, in order, and last with None: the other end is gone, or talks nonsense.

    `deliver` may be replaced at any time.
    """

    def __init__(self, deliver: Callable[[FromRunner | None], None]) -> None:
        self.deliver = deliver
        self._received = bytearray()
        self._has_ended = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._has_ended:
            return
        try:
            if self._received:
                self._received += data
                del self._received[: self._take_frames(self._received)]
            else:  # nearly always: what one step said comes in one piece
                self._received += data[self._take_frames(data) :]
        except msgspec.DecodeError:
            logger.exception("a runner talks nonsense")
            self.close()
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.deliver(None)

    def send(self, frame: bytes) -> None:
        """Queue a frame. Into a closed link it is dropped: whoever waits for an answer hears of the end elsewhere."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _take_frames(self, received: bytes | bytearray) -> int:
        """Deliver the whole frames at the beginning; returns how many bytes they are. Raises: msgspec.DecodeError."""
        at = 0
        while len(received) - at >= FRAME_HEAD_BYTES:
            start = at + FRAME_HEAD_BYTES
            size = int.from_bytes(received[at:start], "big")
            if size > MAX_FRAME_BYTES:
                raise msgspec.DecodeError(f"a frame of {size} bytes")
            if len(received) < start + size:
                break
            at = start + size
            self.deliver(decode_from_runner(received[start:at]))
        return at
