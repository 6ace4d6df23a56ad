"""A client that leaves cancels what is done for it, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.transport.departure import UntilClientLeaves

pytestmark = pytest.mark.anyio


class Client:
    """A `receive` whose client leaves when told."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    async def __call__(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def test_leaving_ends_the_block_quietly() -> None:
    client = Client()
    watch = UntilClientLeaves(client)
    async with watch:
        client.leaves.set()
        await asyncio.Event().wait()
    assert watch.has_left
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()
    await asyncio.sleep(0)


async def test_a_block_that_ends_is_not_cancelled_later() -> None:
    client = Client()
    watch = UntilClientLeaves(client)
    async with watch:
        await asyncio.sleep(0)
    client.leaves.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not watch.has_left


async def test_errors_pass() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with UntilClientLeaves(Client()):
            raise ValueError("mine")


async def test_a_cancellation_from_elsewhere_passes() -> None:
    async def work() -> None:
        async with UntilClientLeaves(Client()):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_elsewhere_wins_over_one_by_leaving() -> None:
    client = Client()

    async def work() -> None:
        async with UntilClientLeaves(client):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    client.leaves.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_leaving_while_cleaning_up_is_survived() -> None:
    client = Client()
    cleaned = False
    async with UntilClientLeaves(client):
        try:
            client.leaves.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True
    assert cleaned
