"""From events to an answer: a stream of records, or one object at the end; and the end when the client goes away.

The status line waits for the first event, so that a refusal has its own status. After it, an error is the last record.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.errors import EXPECTED
from server.transport.added_headers import with_added_headers
from server.transport.answers import Answer, framing, send_answer
from server.transport.asgi import Headers
from server.transport.bodies import ClientGone, awaits_continue, drain, must_drain
from server.transport.departure import UntilClientLeaves
from server.transport.handover import hand_over

logger = logging.getLogger(__name__)

E = TypeVar("E")
T = TypeVar("T")


class Encoder(Protocol[E]):
    """How a dialect writes the events of one reply. It may keep what it needs between two calls."""

    stream_headers: Headers

    def alone(self, event: E) -> Answer | None:
        """The whole answer, where the first event is one that is never streamed."""
        ...

    def record(self, event: E) -> bytes:
        """One record of the stream; nothing is sent for an empty one."""
        ...

    def collect(self, events: list[E]) -> Answer:
        """All events in one answer."""
        ...

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        """The answer when the error came before anything was sent."""
        ...

    def failure(self, error: Exception) -> bytes:
        """The last record, after an error."""
        ...


class EventResponse(Response, Generic[E]):
    """Answers a request with the events of `events`, which is closed in any case.

    Not a subclass in spirit: it writes its status and headers itself, when it knows them, and the application has
    returned by then.
    """

    def __init__(self, events: AsyncGenerator[E, None], encoder: Encoder[E], *, stream: bool) -> None:
        super().__init__()
        self._events = events
        self._encoder = encoder
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hand_over(scope, self._answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = with_added_headers(scope, send)
        async with UntilClientLeaves(receive), aclosing(self._events) as events:
            answer = await (self._begin(events, send) if self._stream else self._collect(events))
            if answer is not None:
                await send_answer(answer, scope["method"], send)

    async def _collect(self, events: AsyncGenerator[E, None]) -> Answer:
        try:
            received = [event async for event in events]
            return (self._encoder.alone(received[0]) if received else None) or self._encoder.collect(received)
        except Exception as error:
            report(error)
            return self._encoder.refusal(error, stream=False)

    async def _begin(self, events: AsyncGenerator[E, None], send: Send) -> Answer | None:
        """Stream; or return the answer that is given instead."""
        try:
            first = await anext(events, None)
            alone = None if first is None else self._encoder.alone(first)
        except Exception as error:
            report(error)
            return self._encoder.refusal(error, stream=True)
        if first is None:
            return Answer(200, self._encoder.stream_headers)
        if alone is not None:
            return alone
        headers = [*self._encoder.stream_headers, (b"transfer-encoding", b"chunked")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._continue(first, events, send)
        await send({"type": "http.response.body", "body": b""})
        return None

    async def _continue(self, first: E, events: AsyncGenerator[E, None], send: Send) -> None:
        encode = self._encoder.record
        try:
            await _send_part(send, encode(first))
            async for event in events:
                await _send_part(send, encode(event))
        except Exception as error:
            report(error)
            await _send_part(send, self._encoder.failure(error))


async def _send_part(send: Send, record: bytes) -> None:
    if record:
        await send({"type": "http.response.body", "body": record, "more_body": True})


def report(error: Exception) -> None:
    """The traceback of what nobody expected goes to the log."""
    if not isinstance(error, EXPECTED):
        logger.error("a reply failed", exc_info=error)


async def unless_client_leaves(request: Request, work: Awaitable[T]) -> T:
    """The result of the work, which is cancelled when the client goes away. Raises: ClientGone."""
    async with UntilClientLeaves(request.receive):
        return await work
    raise ClientGone


class CompleteResponse(Response):
    """An answer that is known; framed as Go frames it, and polite to a client whose body was not read."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(self._answer, scope["method"], with_added_headers(scope, send))


class UnreadBodyResponse(CompleteResponse):
    """The same, given before the body was read to its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = with_added_headers(scope, send)
        answer = self._answer
        headers = [*answer.headers, *framing(scope["method"], answer.status, answer.body)]
        waits = awaits_continue(scope)
        if waits:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if must_drain(scope) and not waits:
            await send({"type": "http.response.body", "body": answer.body, "more_body": True})
            await drain(receive)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": answer.body})
