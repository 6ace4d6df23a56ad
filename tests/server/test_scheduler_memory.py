"""What the scheduler does when memory does not suffice, and how many sequences a model gets of it."""

from __future__ import annotations

import pytest

from models.errors import OutOfMemory
from models.gguf.facts import GGUFFacts
from models.gguf.layers import LayerFacts
from models.runner.settings import RunnerConfig
from server.placement import Devices
from server.sequences import SequencesWanted
from tests.server.scheduler_case import GIB, FakeProcess, Starter, run, scheduler, use, wanted


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


def test_what_others_left_is_for_all_sequences() -> None:
    async def work() -> None:
        start = Starter()
        s = scheduler(start, devices=machine(8))
        other = await use(s, wanted("b"))
        start.failures = [OutOfMemory("four do not fit beside it"), OutOfMemory("nor does one")]
        process = await use(s, wanted("a", sequences=SequencesWanted(GIB_OF_WEIGHTS)))
        assert not other.is_alive
        assert process.config.n_parallel == 4

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
