"""Where requests are prepared: what is quick on the engine's thread, what takes longer in lanes beside it.

A preparation is a generator. It yields the lane in which to go on, before each part that would hold up those whose
thread it is on; so what is prepared reads from top to bottom, wherever its parts run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from enum import Enum, auto
from typing import TypeVar

T = TypeVar("T")


class Lane(Enum):
    """What is prepared one after the other: things that take alike long, so that nobody waits for much slower ones."""

    READING = auto()
    """Long texts, images, sounds, adapters."""
    COMPILING = auto()
    """Constraints, in milliseconds; the first one takes a good part of a second."""
    TRYING = auto()
    """What cannot be known to be quick: a fraction of a second each."""
    PERSISTING = auto()
    """What was not: seconds each."""


_N_THREADS = {Lane.READING: 1, Lane.COMPILING: 1, Lane.TRYING: 2, Lane.PERSISTING: 1}
"""Two try, so that what ends at once need not wait for what does not; each may start a process."""

Steps = Generator[Lane, None, T]


def run_through(steps: Steps[T]) -> T:
    """Do all parts of a preparation where the caller is."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


class Preparation:
    """A request on its way to the engine. One thread at a time moves it; anyone may cancel it."""

    def __init__(self, request_id: int, steps: Steps[Callable[[], None]]) -> None:
        self.request_id = request_id
        self.is_cancelled = False
        self._steps = steps
        self._finish: Callable[[], None] | None = None

    def advance(self) -> Lane | None:
        """Do the next part; returns where the one after it belongs, None after the last."""
        try:
            return next(self._steps)
        except StopIteration as end:
            self._finish = end.value
            return None

    def finish(self) -> None:
        """Do what belongs to the engine's thread, after the last part."""
        assert self._finish is not None
        self._finish()


class Lanes:
    """Threads that move preparations on; they start when they are needed. What is cancelled is dropped."""

    def __init__(self, prepared: Callable[[Preparation], None]) -> None:
        """`prepared` hears, in one of the threads, of what has come to its last part."""
        self._prepared = prepared
        self._lock = threading.Lock()  # over the queues
        self._queues: dict[Lane, queue.SimpleQueue[Preparation]] = {}

    def put(self, lane: Lane, preparation: Preparation) -> None:
        """Have it go on there."""
        with self._lock:
            if lane not in self._queues:
                self._queues[lane] = queue.SimpleQueue()
                for _ in range(_N_THREADS[lane]):
                    threading.Thread(target=self._work, args=(lane,), name=lane.name.lower(), daemon=True).start()
            self._queues[lane].put(preparation)

    def _work(self, lane: Lane) -> None:
        with self._lock:
            waiting = self._queues[lane]
        while True:
            preparation = waiting.get()
            if preparation.is_cancelled:
                continue
            after = preparation.advance()
            if after is not None:
                self.put(after, preparation)
            else:
                self._prepared(preparation)
