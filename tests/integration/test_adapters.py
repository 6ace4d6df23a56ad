"""Requests with different adapters in one runner: what each says is what a context with only its adapters says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from models.errors import LoadError
from models.llama.binding import start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.runner.messages import Adapter, AdapterSet
from models.runner.process import RunnerProcess
from tests.integration import tiny_architectures
from tests.integration.test_engine_state import N_CTX, N_SLOTS, CheckedContext, Driver, converse_at_random
from tests.integration.test_engine_worker import GREEDY, say, with_runner

pytestmark = pytest.mark.model

STORY = "It was a dark and stormy night, and nobody had thought of the lamps. " * 3


class Files:
    """A model, two adapters, a file that is none, and an adapter of another model."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.model = tiny_architectures.write(architecture, folder / "model.gguf")
        self.one = str(tiny_architectures.write_adapter(architecture, folder / "one.gguf", seed=5))
        self.two = str(tiny_architectures.write_adapter(architecture, folder / "two.gguf", seed=50_000))
        self.broken = str(folder / "broken.gguf")
        Path(self.broken).write_bytes(Path(self.one).read_bytes()[:-1000])
        other = "recurrent" if architecture == "attention" else "attention"
        self.foreign = str(tiny_architectures.write_adapter(other, folder / "foreign.gguf", seed=5))

    @property
    def sets(self) -> list[AdapterSet]:
        one, two = Adapter(self.one), Adapter(self.two)
        return [(), (one,), (two,), (one, two), (Adapter(self.one, -0.5),)]


@pytest.fixture(scope="module", params=tiny_architectures.ARCHITECTURES)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("adapters"), request.param)


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("adapters"), "attention")


@pytest.fixture
def model(files: Files) -> Iterator[Model]:
    native_log.install()
    start_backends()
    with Model(str(files.model), n_gpu_layers=0) as model:
        yield model


def greedy(model: Model, prompts: Sequence[tuple[str, AdapterSet]], **params: int) -> list[str]:
    """The replies of one context, all requests at the same time."""
    context = Context(model, ContextParams(n_ctx=N_CTX * N_SLOTS, n_batch=64, n_threads=1, n_seq_max=8))
    driver = Driver(model, context, prompt_cache_bytes=10**7, n_slots=8)  # type: ignore[arg-type]
    for number, (prompt, adapters) in enumerate(prompts):
        driver.submit(number, prompt, 12, adapters)
    driver.run()
    context.close()
    return [driver.text[number] for number in range(len(prompts))]


# ---- in one context ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_no_logits_come_from_a_state_of_other_adapters(model: Model, files: Files, seed: int) -> None:
    context = CheckedContext(model, ContextParams(n_ctx=N_CTX, n_batch=64, n_seq_max=N_SLOTS + 2, n_threads=1))
    driver = Driver(model, context, prompt_cache_bytes=10**8)
    converse_at_random(driver, random.Random(seed), n_prompt=500, n_requests=25, adapters=files.sets)
    assert context.n_checked > 100
    context.close()


def test_together_they_say_what_each_says_alone(model: Model, files: Files) -> None:
    prompts = [(STORY + name, adapters) for name in "abcd" for adapters in files.sets]
    alone = [greedy(model, [prompt])[0] for prompt in prompts]
    assert len({tuple(alone[i :: len(files.sets)]) for i in range(len(files.sets))}) == len(files.sets)
    assert greedy(model, prompts) == alone


def test_the_test_would_notice(model: Model, files: Files) -> None:
    """Adapters that change between two tokens of a sequence, and the check fails."""
    context = CheckedContext(model, ContextParams(n_ctx=N_CTX, n_batch=64, n_seq_max=N_SLOTS, n_threads=1))
    driver = Driver(model, context)
    driver.submit(1, STORY, 10, (Adapter(files.one),))
    driver.step(6)
    driver.engine._slots.running[0].adapters = (Adapter(files.two),)
    with pytest.raises(AssertionError, match="not what it should be"):
        driver.step(2)
    context.close()


def test_adapters_are_read_once_and_given_up_when_nobody_needs_them(model: Model, files: Files) -> None:
    one, two = (Adapter(files.one),), (Adapter(files.two),)
    context = Context(model, ContextParams(n_ctx=256, n_batch=64, n_seq_max=2, n_threads=1))
    context.use_adapters(one)
    context.use_adapters((*two, *one))
    assert model.adapters.held.paths == (files.one, files.two)
    size_bytes = model.adapters.held.size_bytes
    model.adapters.wanted = lambda: [two]
    model.adapters.free_idle()
    assert model.adapters.held.paths == (files.two,) and 0 < model.adapters.held.size_bytes < size_bytes
    assert context.adapters == (), "it must not compute with what is gone"
    context.close()
    model.adapters.wanted = tuple
    model.adapters.free_idle()
    assert model.adapters.held.paths == () and model.adapters.held.size_bytes == 0
    assert greedy(model, [(STORY, one)]) == greedy(model, [(STORY, one)]), "and they come back"


def test_twice_the_same_is_twice_as_much(model: Model, files: Files) -> None:
    twice, double = (Adapter(files.one), Adapter(files.one)), (Adapter(files.one, 2.0),)
    assert greedy(model, [(STORY, twice)]) == greedy(model, [(STORY, double)]) != greedy(model, [(STORY, twice[:1])])


# ---- in one runner -------------------------------------------------------------------------------------------------


def test_a_runner_serves_all_sets_at_once(attention: Files) -> None:
    prompts = [(STORY + name, adapters) for adapters in attention.sets for name in "xy"]

    async def together(runner: RunnerProcess) -> None:
        said = await asyncio.gather(*(say(runner, p, n_predict=12, adapters=a) for p, a in prompts * 2))
        assert [text for text, _ in said] == alone * 2
        await runner.free_adapters()
        assert runner.adapters.paths == ()
        assert [(await say(runner, p, n_predict=12, adapters=a))[0] for p, a in prompts] == alone

    async def one_at_a_time(runner: RunnerProcess) -> None:
        alone.extend([(await say(runner, p, n_predict=12, adapters=a))[0] for p, a in prompts])

    alone: list[str] = []
    with_runner(attention.model, one_at_a_time)
    with_runner(attention.model, together, n_parallel=4, prompt_cache_bytes=10**7)


def test_a_bad_adapter_fails_those_who_name_it(attention: Files) -> None:
    async def work(runner: RunnerProcess) -> None:
        good = (Adapter(attention.one),)
        want, _ = await say(runner, STORY, n_predict=40, adapters=good)
        running = asyncio.create_task(say(runner, STORY, n_predict=40, adapters=good))
        for path, reason in (
            (attention.broken, "data is not within the file bounds"),
            (attention.foreign, "model arch and LoRA arch mismatch"),
            (str(attention.model), "expect general.type to be 'adapter'"),
            ("/nowhere", "failed to open '/nowhere'"),
        ):
            text = f"llama-server process has terminated: exit status 1: unable to load adapter: .*{reason}"
            with pytest.raises(LoadError, match=text):
                await runner.load_adapters((path,))
            with pytest.raises(LoadError, match=text):
                await say(runner, "x", adapters=(*good, Adapter(path)))
        assert (await running)[0] == want and runner.is_alive
        assert runner.adapters.paths == (attention.one,) or runner.adapters.paths == ()

    with_runner(attention.model, work, n_parallel=2)


def test_what_a_runner_holds_is_told(attention: Files) -> None:
    async def work(runner: RunnerProcess) -> None:
        before = runner.adapters
        assert before.paths == (attention.one,) and before.size_bytes > 0
        await runner.load_adapters((attention.one, attention.two))
        assert runner.adapters.paths == (attention.one, attention.two)
        assert runner.adapters.size_bytes > before.size_bytes and runner.adapters.vram_bytes == 0
        async for _ in runner.generate(STORY, sampling=GREEDY, n_predict=200, adapters=(Adapter(attention.two),)):
            await runner.free_adapters()
            break  # the request still had it
        assert runner.adapters.paths == (attention.two,)

    with_runner(attention.model, work, adapters=(attention.one,))
