"""What a request has been sent and has not read yet: one for each open request, on the server's side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from models.errors import (
    BadRequest,
    ContextExceeded,
    LoadError,
    ModelError,
    RefusedByEngine,
    RunnerError,
    UnusableOutput,
)
from models.runner.messages import AdaptersHeld, Chunk, Embedded, Failed, FailureKind, Finished, Text, Tokens

JOIN_ABOVE = 512
"""Chunks that may wait before they are joined."""
JOINED_CHARS = 16 * 1024
"""A chunk of so much text is not joined any further, or each new token would copy all that waits."""
UNREAD_BYTES = 32 * 1024 * 1024
"""What may wait for a reader: millions of tokens of text, or 13,000 with 20 log-probabilities each. A reply may have
ten contexts of them: of long contexts gigabytes, where a reader does not read."""
_MESSAGE_BYTES = 100
_PROB_BYTES = 120
"""About what a message, and a token with its log-probability, take besides their text."""

Reply = Chunk | Finished | Embedded | Tokens | Text | AdaptersHeld | Failed

_FAILURES: dict[FailureKind, Callable[[str], ModelError]] = {
    FailureKind.BAD_REQUEST: RefusedByEngine,
    FailureKind.UNSUPPORTED: BadRequest,
    FailureKind.UNUSABLE_OUTPUT: UnusableOutput,
    FailureKind.LOAD: LoadError.terminated,
    FailureKind.INTERNAL: RunnerError,
}


class Mailbox:
    """Has one reader. A reader that is slow makes chunks join; whoever puts something in never waits."""

    def __init__(self) -> None:
        self._waiting: deque[Reply | RunnerError] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._n_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits that its reader cannot be taken for a slow one."""
        return self._n_bytes > UNREAD_BYTES

    def put(self, item: Reply | RunnerError) -> None:
        self._n_bytes += _size_bytes(item)
        last = self._waiting[-1] if len(self._waiting) >= JOIN_ABOVE else None
        if isinstance(item, Chunk) and isinstance(last, Chunk) and len(last.text) < JOINED_CHARS:
            self._waiting[-1] = _joined(last, item)
            self._n_bytes -= _MESSAGE_BYTES
        else:
            self._waiting.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Reply:
        """The next message. Raises: RunnerError, where one was put in, and what a `Failed` stands for."""
        while not self._waiting:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        item = self._waiting.popleft()
        self._n_bytes -= _size_bytes(item)
        if isinstance(item, RunnerError):
            raise item
        if isinstance(item, Failed):
            raise _error_of(item)
        return item


def _joined(one: Chunk, two: Chunk) -> Chunk:
    return Chunk(one.request_id, one.text + two.text, one.logprobs + two.logprobs, one.n_tokens + two.n_tokens)


def _size_bytes(item: Reply | RunnerError) -> int:
    """About what a chunk takes; of other messages there is one at the end."""
    if not isinstance(item, Chunk):
        return 0
    if not item.logprobs:
        return _MESSAGE_BYTES + len(item.text)
    n_probs = sum(1 + len(token.top) for token in item.logprobs)
    return _MESSAGE_BYTES + len(item.text) + _PROB_BYTES * n_probs


def _error_of(failed: Failed) -> ModelError:
    if failed.kind is FailureKind.CONTEXT_EXCEEDED:
        return ContextExceeded(failed.n_prompt, failed.n_ctx, failed.text)
    return _FAILURES[failed.kind](failed.text)
