"""Generators across the border of the event loop: blocking ones read by a task, asynchronous ones by a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


async def iterate_in_thread(begin: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
    """What the iterator yields. When the reader leaves early, the iterator is closed after the step that it is in.

    Only one step runs at a time, so memory is bounded by the slower side.
    """
    iterator = begin()
    step: asyncio.Future[object] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, iterator, _END))
            value = await asyncio.shield(step)
            if value is _END:
                return
            yield value  # type: ignore[misc]  # all but the mark of the end is T
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])
        close = getattr(iterator, "close", None)
        if close is not None:
            await asyncio.to_thread(close)


def iterate_on_loop(events: AsyncGenerator[T, None], loop: asyncio.AbstractEventLoop) -> Iterator[T]:
    """What the generator yields, run on `loop` and read by another thread; closed when the reader leaves early."""

    async def step() -> object:
        return await anext(events, _END)

    try:
        while True:
            value = asyncio.run_coroutine_threadsafe(step(), loop).result()
            if value is _END:
                return
            yield value  # type: ignore[misc]  # all but the mark of the end is T
    finally:
        asyncio.run_coroutine_threadsafe(events.aclose(), loop).result()
