"""What a request has not read yet: order, waiting, and a bound on what a slow reader costs."""

from __future__ import annotations

import asyncio

import pytest

from models.errors import BadRequest, ContextExceeded, RunnerCrashed, RunnerError
from models.runner.mailbox import JOIN_ABOVE, JOINED_CHARS, UNREAD_BYTES, Mailbox
from models.runner.messages import Chunk, Failed, FailureKind, Finished, Reason, TokenLogprob, TokenProb

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


def wait_until_full(chunk: Chunk) -> tuple[Mailbox, int]:
    """A mailbox that nobody reads, and how many chunks were put in."""
    mailbox, n = Mailbox(), 0
    while not mailbox.is_full:
        mailbox.put(chunk)
        n += 1
    return mailbox, n


TOKEN = TokenLogprob(b"x", -1.0, (TokenProb(b"y", -1.0),) * 20)


@pytest.mark.parametrize(
    "chunk",
    [Chunk(1, "x" * 1000), Chunk(1, "x" * 1000, (TOKEN,)), Chunk(1, "x" * 40_000)],
    ids=["text", "log-probabilities", "text too long to be joined"],
)
def test_what_waits_is_bounded_and_can_all_be_read(chunk: Chunk) -> None:
    mailbox, n = wait_until_full(chunk)
    assert n * len(chunk.text) <= UNREAD_BYTES + len(chunk.text)
    mailbox.put(RunnerError("nobody reads"))
    texts: list[str] = []

    async def work() -> None:
        while True:
            message = await mailbox.get()
            assert isinstance(message, Chunk)
            texts.append(message.text)

    with pytest.raises(RunnerError, match="nobody reads"):
        asyncio.run(asyncio.wait_for(work(), 10))
    assert sum(map(len, texts)) == n * len(chunk.text)
    assert not mailbox.is_full and mailbox._n_bytes == 0


def test_a_reader_that_is_always_behind_but_reads_is_never_given_up() -> None:
    async def work() -> None:
        mailbox = Mailbox()
        for _ in range(JOIN_ABOVE + 10):
            mailbox.put(Chunk(1, "x"))
        for _ in range(UNREAD_BYTES // 10_000):
            mailbox.put(Chunk(1, "x" * JOINED_CHARS))
            await mailbox.get()
            assert not mailbox.is_full

    asyncio.run(asyncio.wait_for(work(), 30))


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
