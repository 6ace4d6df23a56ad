"""A client that goes away: what is being done for it is cancelled at once."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from server.transport.asgi import Receive


class UntilClientLeaves:
    """Cancels the block when the client closes its connection, and then leaves it quietly; `has_left` tells.

    The request's body must have been read: whatever else comes is read over.
    """

    def __init__(self, receive: Receive) -> None:
        self.has_left = False
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._n_cancelling = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._n_cancelling = self._task.cancelling()
        self._watcher = asyncio.create_task(self._watch(self._task))
        return self

    async def _watch(self, task: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert self._task is not None and self._watcher is not None
        self._watcher.cancel()  # nothing is awaited here, so it cannot cancel anything but the block
        if not self.has_left:
            return False
        # As asyncio.timeout does: swallow our own cancellation, but not one that came from elsewhere as well.
        return self._task.uncancel() <= self._n_cancelling and kind is asyncio.CancelledError
