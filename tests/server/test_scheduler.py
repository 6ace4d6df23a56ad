"""Which runner serves, and when: the scheduler, with runners that are not processes."""

from __future__ import annotations

import asyncio

import pytest

from models.errors import LoadError
from server.placement import Devices
from server.requests import FOREVER_NS
from server.scheduler import QueueFull, Scheduler
from tests.server.scheduler_case import GIB, Starter, run, scheduler, settle, use, wanted


def test_names_with_the_same_weights_share_a_runner() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        assert await use(s, wanted("a")) is await use(s, wanted("a"))
        assert [r.size_bytes for r in s.running()] == [1000]

    run(work())


def names(s: Scheduler) -> list[str]:
    return [str(row.spec.name) for row in s.running()]


def test_models_that_differ_in_their_adapters_share_a_runner() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        async with (
            s.lease(wanted("a")) as plain,
            s.lease(wanted("a", adapters=("x",))) as one,
            s.lease(wanted("a", adapters=("y", "x"))) as other,
        ):
            assert plain is one is other
            assert one.adapters.paths == ("x", "y")
        assert len(start.started) == 1

    run(work())


def test_what_is_seen_of_other_adapters_is_a_reload() -> None:
    async def work() -> None:
        s = scheduler(Starter())
        await use(s, wanted("a", name="plain", keep_ns=FOREVER_NS))
        await use(s, wanted("a", name="adapted", adapters=("x",)))
        (row,) = s.running()
        assert names(s) == ["adapted"] and row.size_bytes == 1010
        assert row.expires_ns < FOREVER_NS, "the keep-alive begins again"
        await use(s, wanted("a", name="copy", adapters=("x",)))
        assert names(s) == ["adapted"]
        await use(s, wanted("a", name="plain", keep_ns=FOREVER_NS))
        assert names(s) == ["plain"] and s.running()[0].expires_ns > FOREVER_NS
        s.unload("a")
        await settle()
        assert names(s) == []

    run(work())


def test_a_bad_adapter_fails_its_request_and_nothing_else() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        async with s.lease(wanted("a", name="plain")) as process:
            with pytest.raises(LoadError, match="unable to load adapter"):
                await use(s, wanted("a", name="broken", keep_ns=0, adapters=("bad",)))
            assert process.is_alive and names(s) == ["plain"]
            assert await use(s, wanted("a", adapters=("x",))) is process
        await settle()
        assert names(s) == ["a"] and len(start.started) == 1

    run(work())


@pytest.mark.parametrize(("free_bytes", "is_alive"), [(GIB - 1, False), (GIB, True)])
def test_idle_adapters_go_when_memory_is_short(free_bytes: int, is_alive: bool) -> None:
    async def work() -> None:
        s = scheduler(Starter(), devices=Devices(host_free_bytes=free_bytes))
        process = await use(s, wanted("a", adapters=("x",)))
        await use(s, wanted("b"))
        assert process.is_alive is is_alive
        assert process.adapters.paths == (("x",) if is_alive else ())

    run(work())


def test_adapters_in_use_stay() -> None:
    async def work() -> None:
        s = scheduler(Starter(), devices=Devices(host_free_bytes=0))
        async with s.lease(wanted("a", adapters=("x",))) as process:
            waiting = asyncio.create_task(use(s, wanted("b")))
            await settle()
            assert process.adapters.paths == ("x",)
        await waiting

    run(work())


def test_requests_that_arrive_together_load_once() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        await asyncio.gather(*(use(s, wanted("a")) for _ in range(5)))
        assert len(start.started) == 1

    run(work())


def test_another_context_reloads_after_the_running_requests() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        async with s.lease(wanted("a")):
            second = asyncio.create_task(use(s, wanted("a", n_ctx=512)))
            await settle()
            assert not second.done()
            assert start.started[0].is_alive
        assert (await second).config.n_ctx == 512
        assert not start.started[0].is_alive

    run(work())


def test_keep_alive_of_zero_unloads_after_the_request() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        await use(s, wanted("a", keep_ns=0))
        await settle()
        assert s.running() == []
        assert start.started[0].n_stops == 1

    run(work())


def test_keep_alive_sticks_for_requests_that_do_not_say() -> None:
    async def work() -> None:
        s = scheduler(Starter())
        await use(s, wanted("a", keep_ns=FOREVER_NS))
        await use(s, wanted("a"))
        assert s.running()[0].expires_ns > FOREVER_NS

    run(work())


def test_an_idle_runner_leaves_when_its_time_is_over() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start, keep_ns=1_000_000)
        process = await use(s, wanted("a"))
        await process.wait_gone()
        await settle()
        assert s.running() == []

    run(work())


def test_unload_waits_for_requests_and_shows_the_runner_meanwhile() -> None:
    async def work() -> None:
        s = scheduler(Starter())
        async with s.lease(wanted("a")) as process:
            s.unload("a")
            await settle()
            assert process.is_alive
            assert len(s.running()) == 1
        await process.wait_gone()
        assert s.running() == []

    run(work())


def test_a_dead_runner_is_replaced_by_the_next_request() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        await use(s, wanted("a"))
        start.started[0].die()
        assert (await use(s, wanted("a"))).is_alive
        assert len(start.started) == 2

    run(work())


def test_the_queue_is_bounded() -> None:
    async def work() -> None:
        start = Starter()
        start.hold = asyncio.Event()
        s = scheduler(start, max_queue=2)
        waiting = [asyncio.create_task(use(s, wanted("a"))) for _ in range(2)]
        await settle()
        with pytest.raises(QueueFull, match=r"server busy, please try again\.  maximum"):
            await use(s, wanted("b"))
        start.hold.set()
        await asyncio.gather(*waiting)
        await use(s, wanted("b"))

    run(work())


def test_a_client_that_leaves_the_queue_leaves_no_trace() -> None:
    async def work() -> None:
        start = Starter()
        start.hold = asyncio.Event()
        s = scheduler(start, max_queue=2)
        first, second = (asyncio.create_task(use(s, wanted(key))) for key in "ab")
        await settle()
        first.cancel()
        start.hold.set()
        await second
        assert [p.config.model_path for p in start.started] == ["b"]
        assert len(s.running()) == 1

    run(work())


def test_a_failed_load_does_not_stop_the_next_one() -> None:
    async def work() -> None:
        start = Starter()
        start.failures = [LoadError("bad file")]
        s = scheduler(start)
        with pytest.raises(LoadError, match="bad file"):
            await use(s, wanted("a"))
        assert (await use(s, wanted("a"))).is_alive

    run(work())


def test_close_ends_every_runner() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        await use(s, wanted("a"))
        await use(s, wanted("b"))
        await s.close()
        assert not any(p.is_alive for p in start.started)

    run(work())
