"""What a model computes must not depend on where: on the processor, on a GPU, or on both.

Each test runs on the processor in any case, and on a GPU (marker `gpu`) where llama.cpp was compiled for one that is
there. What is expected is what the processor computes for one request alone.
"""

from __future__ import annotations

import asyncio
import io
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bench import random_model
from models.builtin.install import WEIGHTS
from models.llama.binding import start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.runner.messages import MixedPrompt
from models.runner.process import RunnerProcess
from models.runner.settings import Adapter, BackendSampling, Constraint, KvType
from tests.conftest import StartServer
from tests.integration import tiny_architectures
from tests.integration.test_engine_worker import chat, rows, say, with_runner

pytestmark = pytest.mark.model

TinyModel = Callable[[str], Path]
Logits = npt.NDArray[np.float32]

ALL = 999
DEVICES = [
    pytest.param(0, id="processor"),
    pytest.param(1, marks=pytest.mark.gpu, id="both"),
    pytest.param(ALL, marks=pytest.mark.gpu, id="GPU"),
]
"""Layers on the GPU."""
on_devices = pytest.mark.parametrize("n_gpu_layers", DEVICES)

QUESTIONS = [chat(text) for text in ("How do I pull a model?", "How do I list my models?", "What is Puna?")]
"""The built-in model was trained on their answers: no two tokens are nearly as likely."""
N_TOKENS = 24


@pytest.fixture(scope="module", autouse=True)
def backends() -> None:
    native_log.install()
    start_backends()


async def texts_of(runner: RunnerProcess, prompts: list[str]) -> list[str]:
    said = await asyncio.gather(*(say(runner, prompt, n_predict=N_TOKENS) for prompt in prompts))
    return [text for text, _ in said]


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """The answers, one after the other."""
    answers: list[str] = []

    async def work(runner: RunnerProcess) -> None:
        for question in QUESTIONS:
            answers.extend(await texts_of(runner, [question]))

    with_runner(WEIGHTS, work)
    assert all(answers), "the built-in model has something to say"
    return answers


# ---- replies -------------------------------------------------------------------------------------------------------


@on_devices
@pytest.mark.parametrize("picks", [BackendSampling.OFF, BackendSampling.ON, BackendSampling.AUTO])
@pytest.mark.parametrize("n_parallel", [1, 4])
def test_greedy_replies_are_the_processors(
    expected: list[str], n_gpu_layers: int, picks: BackendSampling, n_parallel: int
) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert await texts_of(runner, QUESTIONS * 2) == expected * 2

    with_runner(WEIGHTS, work, n_gpu_layers=n_gpu_layers, n_parallel=n_parallel, backend_sampling=picks)


@on_devices
@pytest.mark.parametrize(
    ("flash_attention", "kv_type"), [(False, KvType.F16), (True, KvType.F16), (True, KvType.Q8_0)]
)  # fmt: skip
def test_so_they_are_with_every_kind_of_attention(
    expected: list[str], n_gpu_layers: int, flash_attention: bool, kv_type: KvType
) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert await texts_of(runner, QUESTIONS) == expected

    with_runner(WEIGHTS, work, n_gpu_layers=n_gpu_layers, flash_attention=flash_attention, kv_type=kv_type)


@on_devices
def test_what_is_computed_serves_whoever_begins_alike(expected: list[str], n_gpu_layers: int) -> None:
    """On a GPU sequences share the cells of what they have in common; elsewhere one takes them, and the others get
    copies where that seems faster.
    """
    n_served = 4 if n_gpu_layers else 1

    async def work(runner: RunnerProcess) -> None:
        await say(runner, QUESTIONS[0], n_predict=N_TOKENS)
        said = await asyncio.gather(*(say(runner, QUESTIONS[0], n_predict=N_TOKENS) for _ in range(4)))
        assert [text for text, _ in said] == expected[:1] * 4
        assert sum(end.n_cached > end.n_prompt // 2 for _, end in said) >= n_served

    with_runner(WEIGHTS, work, n_gpu_layers=n_gpu_layers, n_parallel=4)


@on_devices
def test_a_reply_goes_on_when_the_context_is_full(tiny_model: TinyModel, n_gpu_layers: int) -> None:
    """The cells that stay get other positions, which is computed where they are."""

    said: list[str] = []

    async def work(runner: RunnerProcess) -> None:
        text, end = await say(runner, "walk", n_predict=400)
        assert (end.n_generated, end.n_shifted > 0) == (400, True)
        said.append(text)

    with_runner(tiny_model("bare"), work, n_gpu_layers=n_gpu_layers, n_ctx=256)
    with_runner(tiny_model("bare"), work, n_ctx=256)
    assert said[0] == said[1]


@on_devices
def test_adapters_constraints_and_images_have_their_effects(tiny_model: TinyModel, n_gpu_layers: int) -> None:
    image = io.BytesIO()
    Image.new("RGB", (28, 28), "green").save(image, "PNG")
    before, after = chat("IMAGE").split("IMAGE")
    picture = MixedPrompt((before, after), (image.getvalue(),))
    adapter = (Adapter(str(tiny_model("lora"))),)
    schema = Constraint("json_schema", '{"enum": ["yes"]}')

    async def work(runner: RunnerProcess) -> None:
        plain, _ = await say(runner, chat("hi"))
        assert (await say(runner, "hi", adapters=adapter))[0] == "Adapted reply."
        assert (await say(runner, chat("hi"), constraint=schema))[0] == '"yes"'
        assert (await say(runner, "", mixed=picture))[0] == "A tiny picture."
        assert (await say(runner, chat("hi")))[0] == plain

    projectors = (str(tiny_model("eye")),)
    with_runner(tiny_model("agent"), work, n_gpu_layers=n_gpu_layers, n_parallel=2, projectors=projectors)


# ---- numbers -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the types that large models have."""
    return random_model.make(random_model.TINY_8B, tmp_path_factory.mktemp("quantised"))


def logits_after(context: Context, tokens: Any, position: int = 0) -> Logits:
    context.batch.clear()
    context.batch.add(0, np.asarray(tokens, dtype=np.int32), position, output=True)
    assert context.decode() is Outcome.DONE
    logits: Logits = context.logits()[0].copy()
    return logits


@pytest.fixture(params=DEVICES)
def context(request: pytest.FixtureRequest, quantised: Path) -> Iterator[Context]:
    with Model(str(quantised), n_gpu_layers=request.param) as model:
        context = Context(model, ContextParams(n_ctx=512, n_batch=256, n_seq_max=2, n_threads=1))
        yield context
        context.close()


PROMPT = np.random.default_rng(1).integers(1, 2000, 200)


def test_quantised_weights_give_the_same_logits(context: Context, quantised: Path) -> None:
    wanted = logits_with(quantised, 0)
    found = [logits_after(context, PROMPT), logits_after(context, [7], len(PROMPT))]
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.99


@on_devices
@pytest.mark.parametrize("architecture", tiny_architectures.ARCHITECTURES)
def test_every_kind_of_memory_gives_the_same_logits(tmp_path: Path, architecture: str, n_gpu_layers: int) -> None:
    path = tiny_architectures.write(architecture, tmp_path / "model.gguf")
    found = [logits_with(path, layers) for layers in (n_gpu_layers, 0)]
    for ours, theirs in zip(*found, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.99


def logits_with(path: Path, n_gpu_layers: int) -> list[Logits]:
    """After a prompt, and after one more token."""
    with Model(str(path), n_gpu_layers=n_gpu_layers) as model:
        context = Context(model, ContextParams(n_ctx=512, n_batch=256, n_seq_max=1, n_threads=1))
        tokens = PROMPT % model.vocab.n_tokens
        found = [logits_after(context, tokens), logits_after(context, [7], len(tokens))]
        context.close()
    return found


def test_a_saved_state_is_the_same_when_it_is_back(context: Context) -> None:
    logits_after(context, PROMPT)
    blob = context.save(0)
    assert blob is not None
    expected = logits_after(context, [7], len(PROMPT))
    context.forget(0)
    assert context.restore(0, blob)
    assert np.allclose(logits_after(context, [7], len(PROMPT)), expected, atol=1e-3)


@on_devices
@pytest.mark.parametrize("name", ["bert", "lastpool"])
def test_embeddings_point_where_the_processors_do(tiny_model: TinyModel, name: str, n_gpu_layers: int) -> None:
    inputs = ("the cat", "the dog sat on the mat", "hello world")
    found: list[Logits] = []

    async def work(runner: RunnerProcess) -> None:
        found.append(rows(await runner.embed(inputs, truncate=True, normalize=True)))

    with_runner(tiny_model(name), work, n_gpu_layers=n_gpu_layers)
    with_runner(tiny_model(name), work)
    assert ((found[0] * found[1]).sum(axis=1) > 0.999).all()


# ---- memory --------------------------------------------------------------------------------------------------------


@on_devices
def test_ps_says_how_much_lies_on_the_gpu(start_server: StartServer, n_gpu_layers: int) -> None:
    server = start_server("--with-builtin", PUNA_BUILTIN="1")
    options = {"num_gpu": n_gpu_layers, "num_predict": 1}
    post(f"{server.url}/api/generate", {"model": "pico", "prompt": "hello", "stream": False, "options": options})
    with urllib.request.urlopen(f"{server.url}/api/ps") as answer:
        (row,) = json.load(answer)["models"]
    assert row["size"] >= WEIGHTS.stat().st_size
    if n_gpu_layers == 0:
        assert row["size_vram"] == 0
    elif n_gpu_layers == ALL:
        assert row["size"] / 2 < row["size_vram"] <= row["size"]  # the embeddings of the input stay with the processor
    else:
        assert 0 < row["size_vram"] < row["size"]


def post(url: str, body: dict[str, Any]) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), method="POST")) as answer:
        answer.read()
