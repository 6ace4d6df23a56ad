"""What the engine said, until the best moment to send it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from models.runner.messages import Chunk, FromRunner

QUICK_STEP_NS = 40_000_000


class Outbox:
    """Keeps the chunks of one step until the next batch is computed, if that will be soon.

    Sampling needs one core; computing on a CPU needs all of them. A server that hears of a token right before the next
    batch works while the batch is computed, and holds up all of its threads; one that hears of it right after works
    beside the sampling. On a GPU, where computing only begins before this is called, nothing is late at all.
    What a client waits for is never held: the first chunk of a reply, its end, errors, or anything while steps are
    slow. Measured on two cores: one stream is 3 % faster with a 135M Q8_0 model, 2 % with a 1B Q4_K_M model.
    """

    def __init__(self, post: Callable[[Sequence[FromRunner]], None], clock_ns: Callable[[], int] = time.monotonic_ns):
        """`post` sends messages in order."""
        self._post = post
        self._clock_ns = clock_ns
        self._held: Sequence[FromRunner] = ()
        self._begun: set[int] = set()
        self._put_ns = 0

    def put(self, said: Sequence[FromRunner]) -> None:
        """What one step said."""
        self.flush()
        now_ns = self._clock_ns()
        is_quick, self._put_ns = now_ns - self._put_ns < QUICK_STEP_NS, now_ns
        if is_quick and all(self._may_wait(message) for message in said):
            self._held = said
        elif said:
            self._note(said)
            self._post(said)

    def flush(self) -> None:
        """Send what waits: a batch has been computed, or nothing will be."""
        if self._held:
            held, self._held = self._held, ()
            self._post(held)

    def _may_wait(self, message: FromRunner) -> bool:
        return isinstance(message, Chunk) and message.request_id in self._begun

    def _note(self, said: Sequence[FromRunner]) -> None:
        """Remember which replies have begun and not ended."""
        for message in said:
            if isinstance(message, Chunk):
                self._begun.add(message.request_id)
            else:
                self._begun.discard(getattr(message, "request_id", 0))
