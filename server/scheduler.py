"""Which runner serves a request: reuse, load, evict, wait; and how long an idle runner stays.

`server.runner_plan` decides over plain values; `Scheduler` does what it says. A request for a runner that is loaded and
fits goes straight through. All others stand in one queue, and its head alone evicts and loads. Nothing is locked while
a model loads except that queue. Batching is not decided here: a runner takes any number of requests at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec

from models.errors import ModelError, OutOfMemory, RunnerCrashed
from models.library import ModelSpec
from models.options import can_serve
from models.runner.process import RunnerProcess
from models.runner.settings import RunnerConfig
from server.placement import CONTEXT_BY_VRAM, Devices, Need
from server.requests import FOREVER_NS
from server.runner_plan import Evict, Load, Reuse, RunnerState, Trim, Wait, plan
from server.sequences import SequencesWanted

logger = logging.getLogger(__name__)

RUNNERS_PER_DEVICE = 3
"""Compat: http-api 7.4: models loaded at once, when the limit is automatic."""


class QueueFull(ModelError):
    """More requests wait for a runner than the server allows."""

    def __init__(self) -> None:
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


# --------------------------------------------------------------------------------------------------------------------
# The runners


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request's claim on a runner. `keep_alive_ns` None: as the runner has it, or the server's default.

    `adapter_bytes`: the sizes of the configuration's adapters. The configuration and the need are those with the least
    that `sequences` may be; how many there are, and their room, is decided by the memory at the moment when the model
    is loaded, and is no reason to load it again. None: as the configuration says.
    """

    spec: ModelSpec
    config: RunnerConfig
    need: Need
    keep_alive_ns: int | None = None
    has_automatic_context: bool = False
    adapter_bytes: tuple[int, ...] = ()
    sequences: SequencesWanted | None = None

    @property
    def key(self) -> str:
        return self.config.model_path

    def with_sequences(self, config: RunnerConfig, devices: Devices) -> RunnerConfig:
        """As many as there is memory for now."""
        return config if self.sequences is None else self.sequences.most(config, devices.room(config.n_gpu_layers))

    def lacking_bytes(self, held: Collection[str]) -> int:
        """The size of those adapters that are not among `held`."""
        sizes = zip(self.config.adapters, self.adapter_bytes, strict=True)
        return sum(size_bytes for path, size_bytes in sizes if path not in held)


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A row of `/api/ps`. `expires_ns` is Unix time; a model that stays forever has one centuries ahead."""

    spec: ModelSpec
    size_bytes: int
    vram_bytes: int
    n_ctx: int
    expires_ns: int


class _Runner:
    """A loaded runner with what the scheduler knows of it."""

    def __init__(self, wanted: Wanted, process: RunnerProcess, keep_alive_ns: int) -> None:
        self.key = wanted.key
        self.spec = wanted.spec
        self.config = wanted.config  # as asked: an automatic context that had to be lowered still matches the next
        self.adapters = wanted.config.adapters
        self.used: Counter[str] = Counter()
        """Adapters, by how many requests have them."""
        self.process = process
        self.begin_keep_alive(keep_alive_ns)
        self.n_leases = 0
        self.is_leaving = False
        self.timer: asyncio.TimerHandle | None = None

    def begin_keep_alive(self, keep_alive_ns: int) -> None:
        self.keep_alive_ns = keep_alive_ns
        self.expires_ns = time.time_ns() + keep_alive_ns

    def state(self, wanted: Wanted, *, was_trimmed: bool) -> RunnerState:
        """As the decision about a request sees it."""
        held = set(self.process.adapters.paths)
        return RunnerState(
            self.key,
            self.config,
            self.n_leases,
            self.keep_alive_ns,
            self.is_leaving,
            lacking_bytes=wanted.lacking_bytes(held) if wanted.key == self.key else 0,
            has_idle_adapters=not was_trimmed and not held <= set(+self.used),
        )

    @property
    def row(self) -> RunningModel:
        ready, adapters = self.process.ready, self.process.adapters
        size_bytes, vram_bytes = ready.size_bytes + adapters.size_bytes, ready.vram_bytes + adapters.vram_bytes
        return RunningModel(self.spec, size_bytes, vram_bytes, ready.n_ctx, self.expires_ns)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Scheduler:
    """Owns the runners of this server."""

    def __init__(
        self,
        *,
        keep_alive_ns: int,
        max_queue: int,
        max_runners: int = 0,
        load_timeout_s: float | None = 300.0,
        devices: Callable[[], Devices],
        start: Callable[..., Awaitable[RunnerProcess]] = RunnerProcess.start,
    ) -> None:
        """`max_runners` 0: by the number of GPUs. `start` is `RunnerProcess.start` or one like it."""
        self._keep_alive_ns = keep_alive_ns
        self._max_queue = max_queue
        self._max_runners = max_runners
        self._load_timeout_s = load_timeout_s
        self._devices = devices
        self._start = start
        self._runners: dict[str, _Runner] = {}
        self._turn = asyncio.Lock()  # first come, first served
        self._n_waiting = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- for requests ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, wanted: Wanted) -> AsyncIterator[RunnerProcess]:
        """A runner for the time of one request; it is not unloaded before the block is left.

        Raises: QueueFull, LoadError.
        """
        runner = self._loaded(wanted) or await self._queue(wanted)
        self._take(runner, wanted)
        try:
            await runner.process.load_adapters(wanted.config.adapters)
            self._note(runner, wanted)
            yield runner.process
        finally:
            self._give_back(runner, wanted)

    def unload(self, key: str) -> None:
        """Let the runner of a model go as soon as it is idle; nothing happens when there is none."""
        runner = self._runners.get(key)
        if runner is not None:
            runner.keep_alive_ns = 0
            self._leave(runner)

    def running(self) -> list[RunningModel]:
        """The loaded models, latest expiry first (in whole seconds, as Ollama compares them)."""
        rows = [r.row for r in self._runners.values() if not r.is_leaving or r.n_leases]
        return sorted(rows, key=lambda row: row.expires_ns // 1_000_000_000, reverse=True)

    @property
    def is_computing(self) -> bool:
        """Whether a model that computes on the processor, mostly, is at work."""
        busy = [r.process.ready for r in self._runners.values() if r.n_leases]
        return any(2 * ready.vram_bytes < ready.size_bytes for ready in busy)

    async def close(self) -> None:
        """End all runners."""
        for runner in self._runners.values():
            runner.is_leaving = True
            runner.stop_timer()
        await asyncio.gather(*(r.process.stop() for r in self._runners.values()), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- the queue -------------------------------------------------------------------------------------------------

    def _loaded(self, wanted: Wanted) -> _Runner | None:
        """The runner that serves without any change; it may have died a moment ago."""
        runner = self._runners.get(wanted.key)
        if runner is None or runner.is_leaving or not runner.process.is_alive:
            return None
        if not set(wanted.config.adapters) <= set(runner.process.adapters.paths):
            return None
        return runner if can_serve(runner.config, wanted.config) else None

    async def _queue(self, wanted: Wanted) -> _Runner:
        if self._n_waiting >= self._max_queue:
            raise QueueFull
        self._n_waiting += 1
        try:
            async with self._turn:
                return await self._serve(wanted)
        finally:
            self._n_waiting -= 1

    async def _serve(self, wanted: Wanted) -> _Runner:
        """Decide and do until there is a runner. Between a decision for one and its lease nothing is awaited."""
        trimmed: set[_Runner] = set()
        while True:
            self._changed.clear()
            self._drop_dead()
            devices = self._devices()
            states = [r.state(wanted, was_trimmed=r in trimmed) for r in self._runners.values()]
            limit = self._max_runners or RUNNERS_PER_DEVICE * max(1, devices.n_gpus)
            match plan(wanted.key, wanted.config, wanted.need, states, devices, max_runners=limit):
                case Reuse(key=key):
                    return self._runners[key]
                case Load(n_gpu_layers=n):
                    config = msgspec.structs.replace(wanted.config, n_gpu_layers=n)
                    return await self._load(wanted, wanted.with_sequences(config, devices))
                case Evict(key=key):
                    self._leave(self._runners[key])
                    await self._changed.wait()
                case Trim(key=key):
                    trimmed.add(self._runners[key])
                    with suppress(RunnerCrashed):  # then all of it is free
                        await self._runners[key].process.free_adapters()
                case Wait():
                    await self._changed.wait()

    async def _load(self, wanted: Wanted, config: RunnerConfig) -> _Runner:
        while True:
            try:
                process = await self._start(config, stall_timeout_s=self._load_timeout_s)
                break
            except OutOfMemory:
                smaller = _smaller(config, wanted)
                if smaller is not None:
                    logger.warning("out of memory with %s; trying %s", _shape(config), _shape(smaller))
                    config = smaller
                elif await self._evict_all():
                    config = wanted.with_sequences(config, self._devices())
                else:
                    raise
        logger.info("loaded %s: %s", wanted.spec.name, _shape(config))
        runner = _Runner(wanted, process, self._keep_alive_of(wanted))
        self._runners[runner.key] = runner
        self._spawn(self._watch(runner))
        return runner

    async def _evict_all(self) -> bool:
        """Free all memory that can be freed; False when there was nothing to evict."""
        victims = list(self._runners.values())
        for victim in victims:
            self._leave(victim)
        while any(v.key in self._runners for v in victims):
            self._changed.clear()
            await self._changed.wait()
        return bool(victims)

    # ---- life of a runner ------------------------------------------------------------------------------------------

    def _take(self, runner: _Runner, wanted: Wanted) -> None:
        runner.stop_timer()
        runner.n_leases += 1
        runner.used.update(wanted.config.adapters)

    def _note(self, runner: _Runner, wanted: Wanted) -> None:
        """What a request changes of a runner that serves it.

        # Compat: http-api 7.1 to 7.3: to the original, other adapters are a reload. Here nothing is loaded anew, but
        what is seen of it is the same: the name of that model from now on, and a keep-alive that begins again.
        """
        if runner.adapters != wanted.config.adapters:
            runner.adapters, runner.spec = wanted.config.adapters, wanted.spec
            runner.begin_keep_alive(self._keep_alive_of(wanted))
        elif wanted.keep_alive_ns is not None:
            runner.keep_alive_ns = wanted.keep_alive_ns

    def _keep_alive_of(self, wanted: Wanted) -> int:
        return self._keep_alive_ns if wanted.keep_alive_ns is None else wanted.keep_alive_ns

    def _give_back(self, runner: _Runner, wanted: Wanted) -> None:
        runner.n_leases -= 1
        runner.used.subtract(wanted.config.adapters)
        if runner.n_leases:
            return
        runner.expires_ns = time.time_ns() + runner.keep_alive_ns
        if runner.is_leaving or runner.keep_alive_ns <= 0:
            self._leave(runner)
        elif runner.keep_alive_ns < FOREVER_NS:
            loop = asyncio.get_running_loop()
            runner.timer = loop.call_later(runner.keep_alive_ns / 1e9, self._leave, runner)

    def _leave(self, runner: _Runner) -> None:
        """No new requests; the process ends when it is idle."""
        runner.is_leaving = True
        runner.stop_timer()
        if not runner.n_leases:
            self._spawn(runner.process.stop())

    async def _watch(self, runner: _Runner) -> None:
        """Forget a runner when its process is gone, whoever ended it."""
        await runner.process.wait_gone()
        self._forget(runner)

    def _drop_dead(self) -> None:
        for runner in [r for r in self._runners.values() if not r.process.is_alive]:
            self._forget(runner)

    def _forget(self, runner: _Runner) -> None:
        runner.stop_timer()
        if self._runners.get(runner.key) is runner:
            del self._runners[runner.key]
        self._changed.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _shape(config: RunnerConfig) -> str:
    """What is loaded, for the log."""
    return f"{config.n_parallel} sequences of {config.n_ctx} tokens, room for {config.n_cells or config.n_ctx}"


def _smaller(config: RunnerConfig, wanted: Wanted) -> RunnerConfig | None:
    """What to try when memory did not suffice: room for one context only, then a shorter one if nobody asked for it."""
    least = wanted.sequences.least(config) if wanted.sequences is not None else config
    if least != config:
        return least
    lower = next((n for _, n in CONTEXT_BY_VRAM if n < config.n_ctx), None) if wanted.has_automatic_context else None
    if lower is None:
        return None
    n_cells = min(config.n_cells, lower * config.n_parallel)
    return msgspec.structs.replace(config, n_ctx=lower, n_cells=n_cells)
