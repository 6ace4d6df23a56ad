"""Downloads that leave the processor to a model which computes on all of its cores.

A model's threads wait for the slowest of them, again and again: what is taken from one core is taken from all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from registry.threads import used_cpu_s

CORE_SHARE = 0.03
"""Of one core, for all downloads together. Measured on two cores: with 0.06 a stream lost 16 %, with this 5 %."""

RECEIVING_FACTOR = 2.2
"""A download's whole cost by that of its steps in threads: reading from the network is in neither of them.

Measured: 3.0 s for each 10^9 bytes, of which 1.4 s to write and to hash them.
"""

MAX_DEBT_S = 1.0
"""Processor time that is paid for by waiting; what was used beyond that, in one go, is forgotten."""

MIN_PAUSE_S, MAX_PAUSE_S = 0.005, 0.5


class Throttle:
    """Keeps all downloads of one event loop together below a share of a core, while that `is_needed_elsewhere`."""

    def __init__(
        self,
        is_needed_elsewhere: Callable[[], bool],
        *,
        share: float = CORE_SHARE,
        cpu_clock: Callable[[], float] = lambda: RECEIVING_FACTOR * used_cpu_s(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._is_needed_elsewhere = is_needed_elsewhere
        self._share = share
        self._cpu_clock = cpu_clock
        self._clock = clock
        self._sleep = sleep
        self._debt_s = 0.0
        self._at_s, self._used_s = clock(), cpu_clock()

    async def hold_back(self) -> None:
        """Return when more may be fetched; looks again every so often whether anybody still needs the processor."""
        while self._is_needed_elsewhere():
            self._settle()
            if self._debt_s <= 0:
                return
            await self._sleep(min(max(self._debt_s / self._share, MIN_PAUSE_S), MAX_PAUSE_S))
        self._debt_s = 0.0
        self._at_s, self._used_s = self._clock(), self._cpu_clock()

    def _settle(self) -> None:
        """Add what was used since the last look to the debt, and take off what the time since then allows."""
        at_s, used_s = self._clock(), self._cpu_clock()
        self._debt_s += used_s - self._used_s - self._share * (at_s - self._at_s)
        self._debt_s = max(0.0, min(self._debt_s, MAX_DEBT_S))
        self._at_s, self._used_s = at_s, used_s
