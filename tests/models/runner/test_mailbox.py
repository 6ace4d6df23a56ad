"""What a request has not read yet: order, waiting, and a bound on what a slow reader costs."""

from __future__ import annotations

import asyncio

import pytest

from models.errors import BadRequest, ContextExceeded, RunnerCrashed
from models.runner.mailbox import JOIN_ABOVE, JOINED_CHARS, Mailbox
from models.runner.messages import Chunk, Failed, FailureKind, Finished, Reason

FINISHED = Finished(1, Reason.STOP, n_prompt=1, n_cached=0, prompt_ns=1, n_generated=1, decode_ns=1)


def read(mailbox: Mailbox) -> list[Chunk]:
    async def work() -> list[Chunk]:
        chunks = []
        while isinstance(message := await mailbox.get(), Chunk):
            chunks.append(message)
        return chunks

    return asyncio.run(asyncio.wait_for(work(), 10))


def test_a_reader_waits_for_what_comes_and_gets_it_in_order() -> None:
    async def work() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        mailbox.put(Chunk(1, "a"))
        mailbox.put(Chunk(1, "b"))
        assert (await reader, await mailbox.get()) == (Chunk(1, "a"), Chunk(1, "b"))

    asyncio.run(asyncio.wait_for(work(), 10))


def test_for_a_slow_reader_chunks_are_joined_and_nothing_is_lost() -> None:
    mailbox = Mailbox()
    for i in range(JOIN_ABOVE + 1000):
        mailbox.put(Chunk(1, f"{i} ", n_tokens=2))
    mailbox.put(FINISHED)
    chunks = read(mailbox)
    assert "".join(chunk.text for chunk in chunks) == "".join(f"{i} " for i in range(JOIN_ABOVE + 1000))
    assert sum(chunk.n_tokens for chunk in chunks) == 2 * (JOIN_ABOVE + 1000)
    assert len(chunks) <= JOIN_ABOVE + 1


def test_joining_does_not_copy_the_same_text_over_and_over() -> None:
    mailbox = Mailbox()
    for _ in range(JOIN_ABOVE + 100):
        mailbox.put(Chunk(1, "x" * 1000))
    mailbox.put(FINISHED)
    assert max(len(chunk.text) for chunk in read(mailbox)) <= JOINED_CHARS + 1000


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (Failed(1, FailureKind.BAD_REQUEST, "no"), BadRequest),
        (Failed(1, FailureKind.CONTEXT_EXCEEDED, "no", n_prompt=9, n_ctx=4), ContextExceeded),
        (RunnerCrashed("no"), RunnerCrashed),
    ],
)
def test_a_failure_is_raised_where_it_is_read(item: Failed | RunnerCrashed, error: type[Exception]) -> None:
    mailbox = Mailbox()
    mailbox.put(item)
    with pytest.raises(error, match="no"):
        asyncio.run(mailbox.get())
