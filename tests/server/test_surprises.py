"""Behaviours of the original that surprise, and that no recording can show: what happens at the same time, or never."""

from __future__ import annotations

import asyncio

from tests.server.scheduler_case import SECOND_NS, Starter, run, scheduler, wanted


def test_a_client_that_leaves_during_the_load_aborts_it() -> None:
    async def main() -> None:
        start = Starter()
        start.hold = asyncio.Event()
        served = scheduler(start)
        client = asyncio.create_task(served.lease(wanted("a")).__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        assert client.cancelled() and start.started == []
        start.hold = None
        async with served.lease(wanted("a")):  # nobody is in its way
            assert len(start.started) == 1
        await served.close()

    run(main())


def test_a_model_that_is_loading_is_not_listed() -> None:
    async def main() -> None:
        start = Starter()
        start.hold = asyncio.Event()
        served = scheduler(start)
        lease = served.lease(wanted("a"))
        client = asyncio.create_task(lease.__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served.running() == []
        start.hold.set()
        await client
        assert len(served.running()) == 1
        await lease.__aexit__(None, None, None)
        await served.close()

    run(main())


def test_during_a_request_the_old_expiry_is_told() -> None:
    async def main() -> None:
        served = scheduler(Starter(), keep_ns=300 * SECOND_NS)
        async with served.lease(wanted("a")):
            pass
        before = served.running()[0].expires_ns
        async with served.lease(wanted("a", keep_ns=3600 * SECOND_NS)):
            assert served.running()[0].expires_ns == before
        assert served.running()[0].expires_ns - before > 3000 * SECOND_NS
        await served.close()

    run(main())


def test_a_slow_load_holds_up_other_loads_but_no_loaded_model() -> None:
    async def main() -> None:
        start = Starter()
        served = scheduler(start)
        async with served.lease(wanted("a")):
            pass
        start.hold = asyncio.Event()
        leases = [served.lease(wanted(key)) for key in ("b", "c")]
        waiting = [asyncio.create_task(lease.__aenter__()) for lease in leases]
        await asyncio.sleep(0)
        async with served.lease(wanted("a")):
            assert not any(task.done() for task in waiting)
        start.hold.set()
        await asyncio.gather(*waiting)
        assert [process.config.model_path for process in start.started] == ["a", "b", "c"]
        for lease in leases:
            await lease.__aexit__(None, None, None)
        await served.close()

    run(main())
