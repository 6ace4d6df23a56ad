"""Requests with different adapters in one runner: what each says is what a context with only its adapters says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import ollama
import psutil
import pytest

from models.engine.ports import Floats
from models.errors import LoadError
from models.llama.binding import start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.runner.messages import Reason
from models.runner.process import RunnerProcess
from models.runner.settings import Adapter, AdapterSet
from tests.conformance import make_models
from tests.integration import tiny_architectures
from tests.integration.test_engine_state import CLOSE, N_CTX, CheckedContext, Driver, converse_at_random
from tests.integration.test_engine_worker import GREEDY, say, with_runner
from tests.integration.tiny_architectures import write_adapter
from tools.server_process import ServerProcess

pytestmark = pytest.mark.model

STORY = "It was a dark and stormy night, and nobody had thought of the lamps. " * 3


class Files:
    """A model, two adapters, a file that is none, and an adapter of another model."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.model = tiny_architectures.write(architecture, folder / "model.gguf")
        self.one = str(write_adapter(self.model, folder / "one.gguf", seed=5))
        self.two = str(write_adapter(self.model, folder / "two.gguf", seed=50_000))
        self.broken = str(folder / "broken.gguf")
        Path(self.broken).write_bytes(Path(self.one).read_bytes()[:-1000])
        other = tiny_architectures.write("recurrent, second kind", folder / "other.gguf")
        self.foreign = str(write_adapter(other, folder / "foreign.gguf", seed=5))

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


class Scripted:
    """A model that is sure of what it says, and two adapters that let it begin otherwise."""

    def __init__(self, folder: Path) -> None:
        self.model, self.one, self.two = folder / "bare.gguf", str(folder / "one.gguf"), str(folder / "two.gguf")
        make_models.write_text_model(self.model, title="Tiny Bare", template=None)
        make_models.write_lora(Path(self.one))
        make_models.write_lora(Path(self.two), "Well,")
        self.foreign = str(write_adapter(make_models.make("bert", folder), folder / "foreign.gguf", seed=5))
        self.sets: list[AdapterSet] = [(), (Adapter(self.one),), (Adapter(self.two),)]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    return Scripted(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def model(files: Files) -> Iterator[Model]:
    native_log.install()
    start_backends()
    with Model(str(files.model), n_gpu_layers=0) as model:
        yield model


# ---- in one context ------------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["shared cells", "own cells"])
def context(model: Model, request: pytest.FixtureRequest) -> Iterator[CheckedContext]:
    params = ContextParams(n_ctx=N_CTX * 4, n_batch=64, n_seq_max=8, n_threads=1, shares_cells=request.param)
    context = CheckedContext(model, params)
    yield context
    context.close()


def test_no_logits_come_from_a_state_of_other_adapters(model: Model, files: Files, context: CheckedContext) -> None:
    driver = Driver(model, context, prompt_cache_bytes=10**8, n_slots=5, n_ctx=384)
    converse_at_random(driver, random.Random(1), n_prompt=300, n_requests=25, adapters=files.sets)
    assert context.n_checked > 100


def test_requests_that_arrive_together_keep_to_their_adapters(
    model: Model, files: Files, context: CheckedContext
) -> None:
    driver = Driver(model, context, prompt_cache_bytes=10**7, n_slots=8, n_ctx=384)
    for number, name in enumerate("ab"):
        for which, adapters in enumerate(files.sets):
            driver.submit(10 * number + which, STORY + name, 12, adapters)
    driver.run()
    assert context.n_checked > 20


def test_each_set_makes_a_difference(model: Model, files: Files) -> None:
    rows = [logits(model, adapters) for adapters in files.sets]
    for number, row in enumerate(rows):
        assert all(np.abs(row - other).max() > 4 * CLOSE for other in rows[:number])
    assert np.abs(rows[0] - logits(model, ())).max() < CLOSE


def logits(model: Model, adapters: AdapterSet) -> Floats:
    """What a context of its own says of the story."""
    context = Context(model, ContextParams(n_ctx=256, n_batch=256, n_seq_max=1, n_threads=1))
    context.use_adapters(adapters)
    context.batch.add(0, model.vocab.tokenize(STORY, add_special=True), 0, output=True)
    assert context.decode() is Outcome.DONE
    row = context.logits()[0].copy()
    context.close()
    return row


def test_the_test_would_notice(model: Model, files: Files, context: CheckedContext) -> None:
    """Adapters that change between two tokens of a sequence, and the check fails."""
    driver = Driver(model, context)
    driver.submit(1, STORY, 10, (Adapter(files.one),))
    driver.step(6)
    driver.engine._slots.running[0].adapters = (Adapter(files.two),)
    with pytest.raises(AssertionError, match="not what it should be"):
        driver.step(2)


def test_adapters_are_read_once_and_given_up_when_nobody_needs_them(model: Model, files: Files) -> None:
    one, two = (Adapter(files.one),), (Adapter(files.two),)
    before = logits(model, one)
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
    assert np.abs(logits(model, one) - before).max() < CLOSE, "and they come back"


def test_twice_the_same_is_twice_as_much(model: Model, files: Files) -> None:
    one = Adapter(files.one)
    once, twice, double = (logits(model, s) for s in ((one,), (one, one), (Adapter(files.one, 2.0),)))
    assert np.abs(twice - double).max() < CLOSE < np.abs(twice - once).max()


# ---- in one runner -------------------------------------------------------------------------------------------------


def test_a_runner_serves_all_sets_at_once(scripted: Scripted) -> None:
    prompts = [(prompt, adapters) for adapters in scripted.sets for prompt in ("hi", "hello", "json")]

    async def together(runner: RunnerProcess) -> None:
        said = await asyncio.gather(*(say(runner, p, n_predict=12, adapters=a) for p, a in prompts * 2))
        assert [text for text, _ in said] == alone * 2
        await runner.free_adapters()
        assert runner.adapters.paths == ()
        assert [(await say(runner, p, n_predict=12, adapters=a))[0] for p, a in prompts] == alone

    async def one_at_a_time(runner: RunnerProcess) -> None:
        alone.extend([(await say(runner, p, n_predict=12, adapters=a))[0] for p, a in prompts])

    alone: list[str] = []
    with_runner(scripted.model, one_at_a_time)
    assert len(set(alone[::3])) == 3
    with_runner(scripted.model, together, n_parallel=4, prompt_cache_bytes=10**7)


def test_a_bad_adapter_fails_those_who_name_it(attention: Files) -> None:
    async def work(runner: RunnerProcess) -> None:
        good = (Adapter(attention.one),)
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
        assert (await running)[1].reason is Reason.LIMIT
        await runner.load_adapters((attention.one,))
        assert runner.adapters.paths == (attention.one,)

    with_runner(attention.model, work, n_parallel=2)


ONES = np.ones((70, 70), np.float32)


@pytest.mark.parametrize(
    ("name", "a", "b", "flaw"),
    [
        ("attn_q", ONES[:2, :64].astype(np.int32), ONES[:64, :2], "is I32"),
        ("attn_q", ONES[:2, :64], ONES[:64, :2].astype(np.float64), "is F64"),
        ("attn_q", np.stack([ONES[:2, :64]] * 3), np.stack([ONES[:64, :2]] * 3), "incorrect shape"),
        ("token_embd", np.ones((260, 2), np.float32), ONES[:64, :2], "also what the model predicts with"),
    ],
)
def test_none_ends_the_process(
    attention: Files, tmp_path: Path, name: str, a: np.ndarray, b: np.ndarray, flaw: str
) -> None:
    """llama.cpp loads these, and aborts, or worse, when it computes with them."""

    async def work(runner: RunnerProcess) -> None:
        with pytest.raises(LoadError, match=f"unable to load adapter: .*{flaw}"):
            await say(runner, STORY, adapters=(Adapter(deadly),))
        _, end = await say(runner, STORY, n_predict=3, adapters=(Adapter(attention.one),))
        assert end.n_generated == 3

    key = name if name == "token_embd" else f"blk.0.{name}"
    tensors = {f"{key}.weight.lora_a": a, f"{key}.weight.lora_b": b}
    deadly = str(tiny_architectures.write_lora("llama", tmp_path / "deadly.gguf", tensors))
    with_runner(attention.model, work)


@pytest.mark.parametrize("scale", [1e6, 1e30])
@pytest.mark.parametrize("architecture", ["attention", "hybrid"])
def test_infinite_numbers_do_not_spread(tmp_path: Path, architecture: str, scale: float) -> None:
    """Where sequences share cells, or take over a recurrent state, nothing would be a number from then on."""
    files = Files(tmp_path, architecture)
    good, bad = (Adapter(files.one),), (Adapter(files.one, scale),)

    async def work(runner: RunnerProcess) -> None:
        running = asyncio.create_task(say(runner, STORY, n_predict=40, adapters=good))
        for _ in range(3):
            with pytest.raises(LoadError, match="unable to load adapter: the model does not compute numbers with it"):
                await say(runner, STORY * 2, adapters=bad)
        ends = [end for _, end in await asyncio.gather(running, say(runner, STORY * 2, n_predict=3))]
        assert [end.n_generated for end in ends] == [40, 3]

    with_runner(files.model, work, n_parallel=2, n_ctx=1024, n_cells=1024)


@pytest.mark.parametrize("name", ["bert", "lastpool"])
def test_nor_do_they_in_embeddings(tiny_model: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    path = str(write_adapter(tiny_model(name), tmp_path / "one.gguf", seed=5))

    async def work(runner: RunnerProcess) -> None:
        with pytest.raises(LoadError, match="does not compute numbers with it"):
            await runner.embed(("a",), truncate=True, normalize=True, adapters=(Adapter(path, 1e30),))
        for adapters in ((), (Adapter(path),)):
            answer = await runner.embed(("a",) * 3, truncate=True, normalize=True, adapters=adapters)
            assert np.isfinite(np.frombuffer(answer.vectors, "<f4")).all()

    with_runner(tiny_model(name), work)


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


@pytest.mark.parametrize("name", ["bert", "lastpool"])
def test_embeddings_of_several_sets_at_once(tiny_model: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    model = tiny_model(name)
    one, two = (Adapter(str(write_adapter(model, tmp_path / f"{n}.gguf", seed=n, gain=1.0))) for n in (5, 50_000))
    sets: list[AdapterSet] = [(), (one,), (two,), (two, one)]
    inputs = tuple(f"text number {n}" for n in range(7))

    async def embed(runner: RunnerProcess, adapters: AdapterSet) -> Floats:
        answer = await runner.embed(inputs, truncate=True, normalize=True, adapters=adapters)
        return np.frombuffer(answer.vectors, "<f4").reshape(len(inputs), -1)

    async def one_at_a_time(runner: RunnerProcess) -> None:
        alone.extend([await embed(runner, adapters) for adapters in sets])

    async def together(runner: RunnerProcess) -> None:
        for vectors, wanted in zip(await asyncio.gather(*(embed(runner, s) for s in sets * 2)), alone * 2, strict=True):
            assert np.abs(vectors - wanted).max() < 1e-4

    alone: list[Floats] = []
    with_runner(model, one_at_a_time)
    for number, vectors in enumerate(alone):
        assert all(np.abs(vectors - other).max() > 1e-2 for other in alone[:number])
    with_runner(model, together)


# ---- in one server -------------------------------------------------------------------------------------------------


@pytest.fixture
def client(server: ServerProcess, scripted: Scripted) -> Iterator[ollama.Client]:
    """Of a server with models on the same weights: `plain`, `one`, `two`, and `foreign`, whose adapter is bad."""
    with ollama.Client(host=server.url) as client:
        digests = {name: client.create_blob(getattr(scripted, name)) for name in ("model", "one", "two", "foreign")}
        names = {"plain": (), "one": ("one",), "two": ("two",), "foreign": ("foreign",)}
        for name, adapters in names.items():
            files = {"model.gguf": digests["model"]}
            client.create(name, files=files, adapters={f"{a}.gguf": digests[a] for a in adapters} or None)
        yield client
        client.generate("plain", keep_alive=0)
        assert loaded(client) == []


def loaded(client: ollama.Client) -> list[str | None]:
    return [model.model for model in client.ps().models]


def reply(client: ollama.Client, name: str, **options: Any) -> str:
    return client.generate(name, "hi", options={"temperature": 0, "num_predict": 12, **options}).response


def test_models_that_differ_in_their_adapters_run_in_one_process(server: ServerProcess, client: ollama.Client) -> None:
    names = ["plain", "one", "two"]
    alone = {}
    for name in names:
        alone[name] = reply(client, name)
        assert loaded(client) == [f"{name}:latest"]
        client.generate(name, keep_alive=0)
        assert loaded(client) == []
    assert len(set(alone.values())) == 3
    with ThreadPoolExecutor(9) as pool:
        said = list(pool.map(lambda name: reply(client, name), names * 3))
    assert said == [alone[name] for name in names * 3]
    assert len(psutil.Process(server.pid).children()) == 1
    assert client.ps().models[0].model in {f"{name}:latest" for name in names} and len(loaded(client)) == 1


def test_a_bad_adapter_fails_its_model_loaded_or_not(server: ServerProcess, client: ollama.Client) -> None:
    text = "llama-server process has terminated: exit status 1: unable to load adapter: .*arch mismatch"
    with pytest.raises(ollama.ResponseError, match=text) as refused:
        client.generate("foreign")
    assert refused.value.status_code == 500 and loaded(client) == []
    plain = reply(client, "plain")
    (child,) = psutil.Process(server.pid).children()
    for prompt in ("", "x"):
        with pytest.raises(ollama.ResponseError, match=text) as refused:
            client.generate("foreign", prompt, stream=False)
        assert refused.value.status_code == 500
    assert loaded(client) == ["plain:latest"] and reply(client, "plain") == plain
    assert psutil.Process(server.pid).children() == [child]


def test_a_request_says_how_much_its_models_adapters_count(server: ServerProcess, client: ollama.Client) -> None:
    plain, one = reply(client, "plain"), reply(client, "one")
    for scale, wanted in ((0, plain), (1, one)):
        body = {"model": "one", "prompt": "hi", "temperature": 0, "lora": [{"id": 0, "scale": scale}]}
        answer = httpx.post(f"{server.url}/v1/completions", json=body).json()
        assert answer["choices"][0]["text"] == wanted
    assert reply(client, "one", lora=[{"id": 0, "scale": 1}]) == one
    assert reply(client, "one", lora=[]) == reply(client, "one", lora=["0=0"]) == plain
    assert plain != one == reply(client, "one", lora=[{"id": 0, "scale": 2}])
    for name, number in (("one", 1), ("plain", 0)):
        with pytest.raises(ollama.ResponseError, match=f"lora: there is no adapter {number}") as refused:
            reply(client, name, lora=[{"id": number, "scale": 1}])
        assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match='option "lora" must be of'):
        reply(client, "one", lora=0.5)
