"""Log-probabilities of a prompt's tokens: those that the model computes, on every kind of memory and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.builtin.install import WEIGHTS
from models.llama.binding import start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.runner.messages import Chunk, Finished, Reason, TokenLogprob
from models.runner.process import RunnerProcess
from models.runner.settings import BackendSampling, Sampling
from tests.conftest import StartServer
from tests.integration import tiny_architectures
from tests.integration.test_engine_worker import say, with_runner

pytestmark = pytest.mark.model

STORY = "It was a dark and stormy night, and nobody had thought of the lamps. " * 4
GREEDY = Sampling(temperature=0)


# ---- the engine ----------------------------------------------------------------------------------------------------


def reference(path: Path, tokens: list[int]) -> list[float]:
    """The log-probability of each token but the first, from a context that computes them one by one."""
    native_log.install()
    start_backends()
    model = Model(str(path), n_gpu_layers=0, main_gpu=None, use_mmap=True)
    context = Context(model, ContextParams(n_ctx=1024, n_batch=64, n_seq_max=1, n_threads=1))
    found = []
    for position, (token, following) in enumerate(pairwise(tokens)):
        context.batch.clear()
        context.batch.add(0, np.array([token], dtype=np.int32), position, output=True)
        context.decode()
        logits = context.logits()[0].astype(np.float64)
        found.append(float(logits[following] - logits.max() - np.log(np.exp(logits - logits.max()).sum())))
    context.close()
    return found


async def score(
    runner: RunnerProcess, tokens: list[int], n_predict: int
) -> tuple[list[TokenLogprob], list[TokenLogprob], Finished]:
    """Log-probabilities of the prompt, of the reply, and its end."""
    prompt: list[TokenLogprob] = []
    reply: list[TokenLogprob] = []
    async for message in runner.generate(
        sampling=GREEDY, tokens=tuple(tokens), n_predict=n_predict, n_logprobs=3, scores_prompt=True
    ):
        if isinstance(message, Chunk):
            (reply if message.n_tokens else prompt).extend(message.logprobs)
        else:
            return prompt, reply, message
    raise AssertionError("no end")


@pytest.mark.parametrize("architecture", tiny_architectures.ARCHITECTURES)
@pytest.mark.parametrize(
    "layout",
    [{}, {"n_cells": 1280}, {"backend_sampling": BackendSampling.ON}],
    ids=["own cells", "shared cells", "backend sampling"],
)
def test_scores_are_those_of_a_model_that_computes_one_token_after_the_other(
    tmp_path: Path, architecture: str, layout: dict[str, Any]
) -> None:
    path = tiny_architectures.write(architecture, tmp_path / "model.gguf")
    tokens = [byte + 3 for byte in STORY.encode()]

    async def work(runner: RunnerProcess) -> None:
        tokens[:] = await runner.tokenize(STORY, add_special=True)
        other = asyncio.create_task(say(runner, "Meanwhile, " + STORY, n_predict=40))
        found = await asyncio.gather(*(score(runner, tokens, n_predict) for n_predict in (0, 1, 3)))
        await other
        expected = reference(path, tokens)
        for n_predict, (prompt, reply, end) in zip((0, 1, 3), found, strict=True):
            assert len(prompt) == len(tokens) == end.n_prompt
            assert [one.logprob for one in prompt[1:]] == pytest.approx(expected, abs=0.06)
            assert all(one.top[0].logprob >= one.logprob for one in prompt[1:])
            assert (end.reason, end.n_generated, len(reply)) == (Reason.LIMIT, n_predict, n_predict)

    with_runner(path, work, n_ctx=1024, n_parallel=4, **layout)


# ---- HTTP ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(start_server: StartServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=start_server("--with-builtin", PUNA_BUILTIN="1").url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def pico() -> Model:
    native_log.install()
    start_backends()
    return Model(str(WEIGHTS), n_gpu_layers=0, main_gpu=None, use_mmap=True)


def complete(client: httpx.Client, prompt: Any, **fields: Any) -> list[dict[str, Any]]:
    body = {"model": "pico", "prompt": prompt, "temperature": 0, "echo": True, "logprobs": 1} | fields
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    choices: list[dict[str, Any]] = answer.json()["choices"]
    return choices


TEXT = "What is the capital of France? Où ça, 漢字?"


@pytest.mark.parametrize("max_tokens", [0, 1, 4])
def test_a_text_is_echoed_with_the_log_probabilities_of_its_tokens(client: httpx.Client, max_tokens: int) -> None:
    (choice,) = complete(client, TEXT, max_tokens=max_tokens, logprobs=2)
    found = choice["logprobs"]
    assert choice["text"].startswith(TEXT) and (choice["text"] == TEXT or max_tokens)
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert all(value < 0 for value in found["token_logprobs"][1:])
    assert all(1 <= len(top) <= 2 for top in found["top_logprobs"][1:])
    assert len({len(values) for values in found.values()}) == 1
    n_prompt = sum(offset < len(TEXT) for offset in found["text_offset"])
    assert 0 <= max_tokens - (len(found["tokens"]) - n_prompt) <= max_tokens // 2
    whole = [
        (o, t) for o, t in zip(found["text_offset"], found["tokens"], strict=True) if t[:1] != "<" and ":" not in t
    ]
    assert whole and all(choice["text"].startswith(token, offset) for offset, token in whole)


def test_lists_of_tokens_are_scored_as_an_evaluation_harness_asks(client: httpx.Client, pico: Model) -> None:
    """Of context and continuation the sum of what comes after the context, without the token that is generated."""
    tokens = pico.vocab.tokenize("What is the capital of France?", add_special=False).tolist()
    prompts = [tokens, [*tokens[:-2], 600, 601], tokens[:1]]
    choices = complete(client, prompts, max_tokens=1, seed=1234)
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    for prompt, choice in zip(prompts, choices, strict=True):
        assert len(choice["logprobs"]["tokens"]) == len(prompt) + 1
    right, wrong = (sum(choice["logprobs"]["token_logprobs"][len(tokens) - 2 : -1]) for choice in choices[:2])
    assert right > wrong


def test_a_reply_that_is_scored_has_the_log_probabilities_it_was_said_with(client: httpx.Client) -> None:
    (first,) = complete(client, TEXT, max_tokens=6, logprobs=1)
    n_prompt = sum(offset < len(TEXT) for offset in first["logprobs"]["text_offset"])
    (again,) = complete(client, first["text"], max_tokens=0, logprobs=1)
    assert again["logprobs"]["tokens"][:n_prompt] == first["logprobs"]["tokens"][:n_prompt]
    for values in (first["logprobs"]["token_logprobs"], again["logprobs"]["token_logprobs"]):
        values[0] = 0.0
    assert again["logprobs"]["token_logprobs"][:n_prompt] == pytest.approx(
        first["logprobs"]["token_logprobs"][:n_prompt], abs=0.05
    )


def test_a_stream_has_the_same_lists(client: httpx.Client) -> None:
    (whole,) = complete(client, TEXT, max_tokens=3)
    body = {"model": "pico", "prompt": TEXT, "temperature": 0, "echo": True, "logprobs": 1, "max_tokens": 3}
    lines = client.post("/v1/completions", json=body | {"stream": True}).text.splitlines()
    chunks = [httpx.Response(200, text=line[6:]).json() for line in lines if line.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    for name in ("tokens", "text_offset"):
        assert [value for choice in choices for value in choice["logprobs"][name]] == whole["logprobs"][name]
    values = [value for choice in choices for value in choice["logprobs"]["token_logprobs"]]
    assert values[0] is None
    assert values[1:] == pytest.approx(whole["logprobs"]["token_logprobs"][1:], abs=0.05)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of cannot be combined with echo and logprobs"),
        ({"logprobs": 21}, "20"),
        ({"prompt": "word " * 5000, "num_ctx": 256}, "maximum context length is 256 tokens"),
    ],
)
def test_what_cannot_be_scored_is_refused(client: httpx.Client, fields: dict[str, Any], said: str) -> None:
    body = {"model": "pico", "prompt": "hi", "echo": True, "logprobs": 1, "max_tokens": 1} | fields
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"]
