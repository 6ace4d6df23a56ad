"""The scheduler, with runners that are not processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import LoadError, OutOfMemory
from models.gguf.facts import GGUFFacts
from models.gguf.layers import LayerFacts
from models.runner.messages import Ready
from models.runner.settings import HeldAdapters, RunnerConfig
from server.placement import Devices, Need
from server.requests import FOREVER_NS
from server.scheduler import QueueFull, Scheduler, Wanted
from server.sequences import SequencesWanted

GIB = 1024**3
DEVICES = Devices(host_free_bytes=8 * GIB)
SMALL = Need(weights_bytes=GIB, cache_bytes=0)
SECOND_NS = 1_000_000_000


def config(key: str, **changes: Any) -> RunnerConfig:
    settings: dict[str, Any] = {"n_ctx": 4096, "n_parallel": 1, "n_batch": 512, "n_gpu_layers": -1, "n_threads": 0}
    return RunnerConfig(model_path=key, **(settings | changes))


class FakeProcess:
    """What the scheduler sees of a runner; `stop` and `die` end it."""

    def __init__(self, loaded: RunnerConfig) -> None:
        self.config = loaded
        self.ready = Ready(loaded.n_ctx, loaded.n_ctx, 10, size_bytes=1000, vram_bytes=0, adds_bos=False)
        self.adapters = HeldAdapters(loaded.adapters, 10 * len(loaded.adapters))
        self._gone = asyncio.Event()
        self.n_stops = 0

    @property
    def is_alive(self) -> bool:
        return not self._gone.is_set()

    async def load_adapters(self, paths: tuple[str, ...]) -> None:
        if "bad" in paths:
            raise LoadError("unable to load adapter")
        held = tuple(dict.fromkeys((*self.adapters.paths, *paths)))
        self.adapters = HeldAdapters(held, 10 * len(held))

    async def free_adapters(self) -> None:
        self.adapters = HeldAdapters()

    async def wait_gone(self) -> None:
        await self._gone.wait()

    async def stop(self) -> None:
        self.n_stops += 1
        self._gone.set()

    def die(self) -> None:
        self._gone.set()


class Starter:
    """Starts fake processes; `failures` are raised first, `hold` keeps a load from finishing."""

    def __init__(self) -> None:
        self.started: list[FakeProcess] = []
        self.failures: list[Exception] = []
        self.hold: asyncio.Event | None = None

    async def __call__(self, loaded: RunnerConfig, *, stall_timeout_s: float | None) -> FakeProcess:
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.started.append(FakeProcess(loaded))
        return self.started[-1]


def wanted(
    key: str, *, name: str = "", keep_ns: int | None = None, automatic: bool = False,
    sequences: SequencesWanted | None = None, **changes: Any,
) -> Wanted:  # fmt: skip
    spec: Any = SimpleNamespace(name=name or key)
    asked = config(key, **changes)
    asked = sequences.least(asked) if sequences else asked
    return Wanted(spec, asked, SMALL, keep_ns, automatic, tuple(10 for _ in asked.adapters), sequences)


def scheduler(
    start: Starter, *, keep_ns: int = 300 * SECOND_NS, max_queue: int = 8, max_runners: int = 3,
    devices: Devices | Callable[[], Devices] = DEVICES,
) -> Scheduler:  # fmt: skip
    begin: Any = start
    now = (lambda: devices) if isinstance(devices, Devices) else devices
    return Scheduler(keep_alive_ns=keep_ns, max_queue=max_queue, max_runners=max_runners, devices=now, start=begin)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


async def use(s: Scheduler, w: Wanted) -> Any:
    async with s.lease(w) as process:
        return process


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


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


def test_out_of_memory_lowers_an_automatic_context() -> None:
    async def work() -> None:
        start = Starter()
        start.failures = [OutOfMemory("too large"), OutOfMemory("too large")]
        s = scheduler(start)
        process = await use(s, wanted("a", automatic=True, n_ctx=262_144))
        assert process.config.n_ctx == 4096
        assert await use(s, wanted("a", automatic=True, n_ctx=262_144)) is process

    run(work())


def test_out_of_memory_with_a_given_context_evicts_the_others_once() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start)
        other = await use(s, wanted("b"))
        start.failures = [OutOfMemory("too large")]
        assert (await use(s, wanted("a"))).config.n_ctx == 4096
        assert not other.is_alive
        start.failures = [OutOfMemory("too large")] * 2
        with pytest.raises(OutOfMemory):
            await use(s, wanted("c"))

    run(work())


GIB_OF_WEIGHTS = GGUFFacts(n_vocab=1000, layers=(LayerFacts(weights_bytes=GIB, kv_elements=8192),))
"""A context of 4,096 tokens takes 64 MiB, and a little for the pass through the layers."""


def machine(free_gib: float) -> Devices:
    return Devices(round(free_gib * GIB), 16 * GIB)


@pytest.mark.parametrize(
    ("asked", "free_gib", "n_parallel", "n_cells"),
    [
        pytest.param(None, 8, 4, 4 * 4096, id="plenty of memory"),
        pytest.param(None, 1.15, 3, 4096 + 2560, id="little of it"),
        pytest.param(None, 1.0, 1, 4096, id="none: it may try with one"),
        pytest.param(2, 8, 2, 2 * 4096, id="two that were asked for"),
        pytest.param(2, 1.0, 2, 4096, id="they share, if they must"),
    ],
)
def test_sequences_are_counted_when_a_model_is_loaded(
    asked: int | None, free_gib: float, n_parallel: int, n_cells: int
) -> None:
    async def work() -> None:
        free = [free_gib]
        start = Starter()
        s = scheduler(start, devices=lambda: machine(free[0]))
        model = wanted("a", sequences=SequencesWanted(GIB_OF_WEIGHTS, asked))
        process = await use(s, model)
        assert (process.config.n_parallel, process.config.n_cells) == (n_parallel, n_cells)
        for free[0] in (16, 0.5):
            assert await use(s, model) is process, "another number is no reason to load it again"
        process.die()
        free[0] = 8
        assert (await use(s, model)).config.n_parallel == (asked or 4)

    run(work())


def test_no_model_goes_for_sequences_that_nobody_asked_for() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start, devices=lambda: machine(8 if not start.started else 1.05))
        first = await use(s, wanted("a", sequences=SequencesWanted(GIB_OF_WEIGHTS)))
        second = await use(s, wanted("b", sequences=SequencesWanted(GIB_OF_WEIGHTS)))
        assert first.is_alive and first.config.n_parallel == 4
        assert second.config.n_parallel == 1

    run(work())


@pytest.mark.parametrize(
    ("asked", "automatic", "tries"),
    [
        pytest.param(None, False, [(4, 32768, 131072), (1, 32768, 32768)], id="a given context"),
        pytest.param(None, True, [(4, 32768, 131072), (1, 32768, 32768), (1, 4096, 4096)], id="an automatic one"),
        pytest.param(2, False, [(2, 32768, 65536), (2, 32768, 32768)], id="a given number"),
    ],
)
def test_out_of_memory_costs_the_further_sequences_first(
    asked: int | None, automatic: bool, tries: list[tuple[int, int, int]]
) -> None:
    async def work() -> None:
        tried: list[tuple[int, int, int]] = []

        async def start(loaded: RunnerConfig, *, stall_timeout_s: float | None) -> FakeProcess:
            tried.append((loaded.n_parallel, loaded.n_ctx, loaded.n_cells))
            if len(tried) < len(tries):
                raise OutOfMemory("too large")
            return FakeProcess(loaded)

        s = scheduler(start, devices=Devices(64 * GIB, 64 * GIB))  # type: ignore[arg-type]
        model = wanted("a", automatic=automatic, n_ctx=32768, sequences=SequencesWanted(GIB_OF_WEIGHTS, asked))
        process = await use(s, model)
        assert tried == tries
        assert await use(s, model) is process

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
