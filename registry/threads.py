"""Blocking steps of transfers, off the event loop and out of the way of the server's own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="transfer")


class _Meter:
    """The processor time that steps of transfers took, in seconds."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._lock = threading.Lock()

    def measured(self, call: Callable[[], T]) -> T:
        start = time.thread_time()
        try:
            return call()
        finally:
            with self._lock:
                self.total_s += time.thread_time() - start


_meter = _Meter()


def used_cpu_s() -> float:
    """What the steps of all transfers took so far, each counted when it ends."""
    return _meter.total_s


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result; also a task that is cancelled waits until it has ended.

    So nobody closes a file under a thread that still writes to it.
    """
    call = functools.partial(_meter.measured, functools.partial(function, *args, **kwargs))
    future = asyncio.get_running_loop().run_in_executor(_pool(), call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
