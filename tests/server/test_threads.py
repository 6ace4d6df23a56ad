"""Blocking generators read by a task, and the other way round."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from server.threads import iterate_in_thread, iterate_on_loop

pytestmark = pytest.mark.anyio


async def test_values_come_in_their_order_from_another_thread() -> None:
    def steps() -> Iterator[tuple[int, bool]]:
        for i in range(5):
            yield i, threading.current_thread() is threading.main_thread()

    assert [value async for value in iterate_in_thread(steps)] == [(i, False) for i in range(5)]


async def test_an_error_comes_where_it_was_raised() -> None:
    def steps() -> Iterator[int]:
        yield 1
        raise ValueError("mine")

    received = []
    with pytest.raises(ValueError, match="mine"):
        async for value in iterate_in_thread(steps):
            received.append(value)  # what came before the error is the point
    assert received == [1]


async def test_a_reader_that_leaves_closes_the_generator() -> None:
    closed = threading.Event()

    def steps() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    values = iterate_in_thread(steps)
    assert await anext(values) == 1
    await values.aclose()
    assert closed.is_set()


async def test_a_cancelled_reader_waits_for_the_step_that_runs_and_then_closes() -> None:
    in_step, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def steps() -> Iterator[int]:
        try:
            in_step.set()
            go_on.wait(10)
            seen.append("step")
            yield 1
        finally:
            seen.append("closed")

    async def read() -> None:
        async for _ in iterate_in_thread(steps):
            pass

    task = asyncio.create_task(read())
    await asyncio.to_thread(in_step.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["step", "closed"]


async def test_no_step_is_made_ahead_of_its_reader() -> None:
    made: list[int] = []

    def steps() -> Iterator[int]:
        for i in range(3):
            made.append(i)
            yield i

    values = iterate_in_thread(steps)
    await anext(values)
    assert made == [0]
    await values.aclose()


async def test_a_thread_reads_what_the_loop_makes() -> None:
    loop = asyncio.get_running_loop()

    async def events() -> AsyncGenerator[tuple[int, bool], None]:
        for i in range(3):
            await asyncio.sleep(0)
            yield i, asyncio.get_running_loop() is loop

    read = await asyncio.to_thread(lambda: list(iterate_on_loop(events(), loop)))
    assert read == [(i, True) for i in range(3)]


async def test_an_error_on_the_loop_reaches_the_thread() -> None:
    loop = asyncio.get_running_loop()

    async def events() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await asyncio.to_thread(lambda: list(iterate_on_loop(events(), loop)))


async def test_a_thread_that_leaves_closes_what_the_loop_makes() -> None:
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            closed.set()

    def read() -> int:
        values = iterate_on_loop(events(), loop)
        first = next(values)
        values.close()  # type: ignore[attr-defined]  # it is a generator
        return first

    assert await asyncio.to_thread(read) == 1
    assert closed.is_set()
