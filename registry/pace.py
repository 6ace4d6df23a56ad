"""How hard transfers try, in one place; tests let time pass as they like."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from registry.partial import PART_BYTES


async def _not_at_all() -> None:
    """Nothing holds a transfer back."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard a transfer tries. Times are seconds, sizes bytes."""

    part_bytes: int = PART_BYTES
    n_streams: int = 16
    n_streams_at_once: int = 4
    """The others follow one by one: a short download does without them, and an interrupted one has less in flight."""
    stream_delay_s: float = 0.5
    n_attempts: int = 6
    worthwhile_bytes: int = 1 << 20
    """An attempt that brought this much does not count as failed."""
    flush_bytes: int = 1 << 20
    flush_s: float = 0.1
    hash_bytes: int = 8 << 20
    sync_bytes: int = 64 << 20
    lock_poll_s: float = 0.1
    hold_back: Callable[[], Awaitable[None]] = _not_at_all
    """Awaited after each stretch that came in; see `registry.throttle`."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
