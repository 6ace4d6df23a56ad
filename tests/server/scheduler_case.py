"""A scheduler with runners that are not processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from models.errors import LoadError
from models.runner.messages import Ready
from models.runner.settings import HeldAdapters, RunnerConfig
from server.placement import Devices, Need
from server.scheduler import Scheduler, Wanted
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
