from __future__ import annotations

import pytest

from registry.throttle import MAX_DEBT_S, MAX_PAUSE_S, MIN_PAUSE_S, Throttle

pytestmark = pytest.mark.anyio


class Case:
    """Time that passes only in sleep; `cpu_s` and `is_needed` are what the test says."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.cpu_s = 0.0
        self.is_needed = True
        self.needed_until_s = float("inf")
        self.throttle = Throttle(
            lambda: self.is_needed and self.now_s < self.needed_until_s,
            share=0.1,
            cpu_clock=lambda: self.cpu_s,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        assert MIN_PAUSE_S <= seconds <= MAX_PAUSE_S
        self.now_s += seconds

    async def use(self, cpu_s: float) -> None:
        self.cpu_s += cpu_s
        await self.throttle.hold_back()


async def test_downloads_together_stay_below_their_share() -> None:
    case = Case()
    for _ in range(100):
        await case.use(0.01)
    assert case.cpu_s == pytest.approx(1.0)
    assert case.now_s == pytest.approx(10.0, rel=0.1)


async def test_nobody_waits_who_is_alone() -> None:
    case = Case()
    case.is_needed = False
    await case.use(100.0)
    case.is_needed = True
    await case.use(0.0)
    assert case.now_s == 0.0


async def test_waiting_ends_when_the_processor_is_free() -> None:
    case = Case()
    case.needed_until_s = 0.7
    await case.use(MAX_DEBT_S)
    assert case.now_s == pytest.approx(1.0)


async def test_idle_time_is_not_saved_up() -> None:
    case = Case()
    case.now_s = 1000.0
    await case.use(0.0)
    await case.use(0.05)
    assert case.now_s == pytest.approx(1000.5, abs=0.01)


async def test_one_large_step_does_not_stop_a_download_for_long() -> None:
    case = Case()
    await case.use(1000.0)
    assert case.now_s == pytest.approx(MAX_DEBT_S / 0.1, rel=0.1)
