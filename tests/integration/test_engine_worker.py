"""A real runner process with tiny models, spoken to by the server's own side of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from models.errors import BadRequest, LoadError, RunnerCrashed
from models.runner.messages import Chunk, Embedded, Finished, Load, Reason, encode_frame
from models.runner.process import RunnerProcess
from models.runner.settings import Adapter, Constraint, KvType, RunnerConfig, Sampling
from tests.integration import tiny_architectures

pytestmark = pytest.mark.model

Model = Callable[[str], Path]
GREEDY = Sampling(temperature=0)


def chat(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def config(path: Path, **fields: object) -> RunnerConfig:
    usual: dict[str, object] = {"n_ctx": 2048, "n_parallel": 1, "n_batch": 512, "n_gpu_layers": 0, "n_threads": 1}
    return RunnerConfig(str(path), **{**usual, **fields})  # type: ignore[arg-type]


def with_runner(path: Path, work: Callable[[RunnerProcess], Awaitable[None]], **fields: object) -> None:
    """Run `work` with a runner that has loaded the model."""

    async def run() -> None:
        runner = await RunnerProcess.start(config(path, **fields))
        try:
            await work(runner)
        finally:
            await runner.stop()

    asyncio.run(asyncio.wait_for(run(), 60))


async def say(runner: RunnerProcess, prompt: str, **fields: object) -> tuple[str, Finished]:
    fields.setdefault("sampling", GREEDY)
    text = ""
    async for message in runner.generate(prompt, **fields):  # type: ignore[arg-type]
        if isinstance(message, Finished):
            return text, message
        text += message.text
    raise AssertionError("no final message")


# ---- generation ----------------------------------------------------------------------------------------------------


def test_a_prompt_is_answered_and_counted(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert (runner.ready.n_ctx, runner.ready.n_ctx_train, runner.ready.n_vocab) == (2048, 8192, 416)
        assert runner.ready.size_bytes > 2_000_000 and runner.ready.vram_bytes == 0
        text, end = await say(runner, chat("json"))
        assert text == '{"name":"Ada","age":36}'
        assert (end.reason, end.n_prompt, end.n_generated) == (Reason.STOP, 17, 4)
        text, end = await say(runner, chat("unicode"))
        assert text == "Grüße 😀 ok… e\u0301."
        text, end = await say(runner, chat("count"), n_predict=3)
        assert (text, end.reason, end.n_cached) == (" one two three", Reason.LIMIT, 5)

    with_runner(tiny_model("chatml"), work)


@pytest.mark.parametrize("n_parallel", [1, 2], ids=["llama.cpp's sampler", "our sampler"])
def test_a_seed_gives_what_it_gives_with_llama_cpp(tiny_model: Model, n_parallel: int) -> None:
    async def work(runner: RunnerProcess) -> None:
        text, _ = await say(runner, "walk", sampling=Sampling(temperature=1.0, seed=7), n_predict=24)
        assert text.replace("-> ", " ").strip() == "ay ay ay ay bee ay bee bee cee bee cee cee"  # recorded

    with_runner(tiny_model("bare"), work, n_parallel=n_parallel)


def test_sequences_side_by_side_say_what_each_says_alone(tiny_model: Model) -> None:
    triggers = ["json", "count", "unicode", "marker", "code", "markup", "blank", "hello"]

    async def alone(runner: RunnerProcess) -> None:
        for trigger in triggers:
            replies[trigger], _ = await say(runner, chat(trigger), n_predict=40)

    async def together(runner: RunnerProcess) -> None:
        said = await asyncio.gather(*(say(runner, chat(trigger), n_predict=40) for trigger in triggers * 3))
        assert [text for text, _ in said] == [replies[trigger] for trigger in triggers * 3]

    replies: dict[str, str] = {}
    with_runner(tiny_model("chatml"), alone)
    with_runner(tiny_model("chatml"), together, n_parallel=4)


def test_a_constraint_is_followed(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        schema = Constraint("json_schema", '{"enum": ["yes"]}')
        text, end = await say(runner, chat("hi"), constraint=schema)
        assert (text, end.n_generated) == ('"yes"', 6)  # recorded
        with pytest.raises(BadRequest, match="banana"):
            await say(runner, "x", constraint=Constraint("json_schema", '{"type": "banana"}'))
        assert (await say(runner, chat("json"), constraint=Constraint("json", "")))[0] == '{"name":"Ada","age":36}'

    with_runner(tiny_model("chatml"), work)


def test_adapters_are_applied(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert (await say(runner, "hi", adapters=(Adapter(lora),)))[0] == "Adapted reply."
        assert (await say(runner, "hi"))[0] == plain

    async def without(runner: RunnerProcess) -> None:
        nonlocal plain
        plain, _ = await say(runner, "hi")
        assert runner.adapters.paths == ()
        await work(runner)  # it comes with the request

    plain, lora = "", str(tiny_model("lora"))
    with_runner(tiny_model("bare"), without)
    with_runner(tiny_model("bare"), work, adapters=(lora,))


def test_a_long_prompt_and_a_full_context(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        text, end = await say(runner, chat("word " * 300), n_predict=4)
        assert (end.n_prompt, end.n_truncated) == (50, 1217 - 50)  # recorded: num_ctx 96, num_keep 4
        with pytest.raises(
            BadRequest, match=r'"message":"request \(1217 tokens\) exceeds the available context size \(256'
        ):
            await say(runner, chat("word " * 300), truncate=False)
        text, end = await say(runner, chat("count"), n_predict=600)
        assert end.reason is Reason.LIMIT and text.startswith(" one two three") and end.n_generated == 600

    with_runner(tiny_model("chatml"), work, n_ctx=96)


def test_without_shift_the_reply_ends_with_the_context(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        _, end = await say(runner, chat("count"), n_predict=310)
        assert (end.reason, end.n_prompt, end.n_generated) == (Reason.CONTEXT, 17, 239)  # recorded

    with_runner(tiny_model("chatml"), work, n_ctx=32, shift=False)


def test_tokens_and_text(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert await runner.detokenize(await runner.tokenize("a\0b <|im_end|> ü 😀")) == "a\0b <|im_end|> ü 😀"
        assert await runner.tokenize("") == ()
        for bad in (416, -1, 99_999_999):
            with pytest.raises(BadRequest, match="invalid token"):
                await runner.detokenize((1, bad))

    with_runner(tiny_model("chatml"), work)


@pytest.mark.parametrize("pre_tokenizer", ["tekken", "gpt-4o", "deepseek-llm", "llama-bpe"])
def test_a_very_long_word_does_not_overflow_the_tokenizers_stack(tmp_path: Path, pre_tokenizer: str) -> None:
    path = tiny_architectures.write("attention", tmp_path / "model.gguf", pre_tokenizer=pre_tokenizer)

    async def work(runner: RunnerProcess) -> None:
        for text in ("a" * 300_000, "7" * 300_000, "é" * 300_000, "-" * 300_000, "\n" * 300_000):
            assert len(await runner.tokenize(text)) == len(text.encode())

    with_runner(path, work)


@pytest.mark.parametrize(("kv_type", "flash_attention"), [("q8_0", True), ("q4_0", None), ("f16", False)])
def test_other_kinds_of_caches_work(tiny_model: Model, kv_type: str, flash_attention: bool | None) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert (await say(runner, chat("json")))[0] == '{"name":"Ada","age":36}'

    with_runner(tiny_model("chatml"), work, kv_type=KvType(kv_type), flash_attention=flash_attention)


# ---- cancelling and crashing ---------------------------------------------------------------------------------------


def test_a_reader_that_leaves_frees_its_slot(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        for _ in range(30):
            stream = runner.generate(chat("count"), sampling=GREEDY)
            async for _ in stream:
                break
            await stream.aclose()  # type: ignore[attr-defined]
        text, end = await say(runner, chat("json"))
        assert text == '{"name":"Ada","age":36}' and end.reason is Reason.STOP

    with_runner(tiny_model("chatml"), work)


def test_a_huge_prompt_neither_blocks_others_nor_outlives_its_reader(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        huge = asyncio.ensure_future(say(runner, "x y z " * 400_000, n_predict=1))
        await asyncio.sleep(0)
        text, _ = await say(runner, chat("json"))
        assert text == '{"name":"Ada","age":36}' and not huge.done(), "the short one did not wait"
        huge.cancel()
        await asyncio.gather(huge, return_exceptions=True)
        assert (await say(runner, chat("json")))[0] == '{"name":"Ada","age":36}'

    with_runner(tiny_model("chatml"), work, n_parallel=2)


def test_a_killed_runner_is_noticed_by_its_requests(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        running = [asyncio.ensure_future(say(runner, chat("count"))) for _ in range(3)]
        async for _ in runner.generate(chat("hello"), sampling=GREEDY):
            pass
        os.kill(runner.pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [RunnerCrashed] * 3
        assert not runner.is_alive

    with_runner(tiny_model("chatml"), work, n_parallel=4)


def test_the_terminals_interrupt_does_not_end_a_runner(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        os.kill(runner.pid, signal.SIGINT)
        assert (await say(runner, chat("json")))[0] == '{"name":"Ada","age":36}'

    with_runner(tiny_model("chatml"), work)


def test_a_runner_ends_with_its_socket(tiny_model: Model) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "models.runner.worker", str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process, ours:
        theirs.close()
        ours.sendall(encode_frame(Load(config(tiny_model("chatml")))))
        assert ours.recv(4), "it speaks"
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(20) == 0


# ---- models that cannot be loaded ----------------------------------------------------------------------------------


def spoil(path: Path, target: Path, kind: str) -> Path:
    raw = bytearray(path.read_bytes())
    match kind:
        case "truncated":
            raw = raw[: len(raw) // 2]
        case "lying":
            at = raw.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4
            raw[at : at + 8] = (2**40).to_bytes(8, "little")  # a dimension
        case "empty":
            raw = bytearray()
        case "text":
            raw = bytearray(b"not a model at all" * 100)
    target.write_bytes(raw)
    return target


@pytest.mark.parametrize("kind", ["truncated", "lying", "empty", "text"])
def test_a_bad_file_fails_to_load_with_a_reason(tiny_model: Model, tmp_path: Path, kind: str) -> None:
    path = spoil(tiny_model("bare"), tmp_path / "bad.gguf", kind)
    with pytest.raises(LoadError, match="llama-server process has terminated: exit status 1: unable to load model: "):
        asyncio.run(RunnerProcess.start(config(path)))


def test_a_missing_file_and_a_file_of_another_kind_fail_to_load(tiny_model: Model, tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.gguf", "No such file"), (tiny_model("eye"), "CLIP")):
        with pytest.raises(LoadError, match=said):
            asyncio.run(RunnerProcess.start(config(path)))


def test_an_adapter_that_is_none_fails_the_load(tiny_model: Model) -> None:
    with pytest.raises(LoadError, match="adapter"):
        asyncio.run(RunnerProcess.start(config(tiny_model("bare"), adapters=(str(tiny_model("eye")),))))


# ---- embeddings ----------------------------------------------------------------------------------------------------


def rows(answer: Embedded) -> np.ndarray:
    return np.frombuffer(answer.vectors, "<f4").reshape(-1, answer.n_embd)


@pytest.mark.parametrize("name", ["bert", "lastpool"])
def test_inputs_get_the_same_vectors_alone_and_together(tiny_model: Model, name: str) -> None:
    inputs = tuple(" ".join(["hello", "world", "the cat"][: i % 3 + 1] * (i % 5 + 1)) for i in range(150))

    async def work(runner: RunnerProcess) -> None:
        together = rows(await runner.embed(inputs, truncate=True, normalize=True))
        assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(150), abs=1e-5)
        for i in (0, 7, 70, 149):
            (alone,) = rows(await runner.embed((inputs[i],), truncate=True, normalize=True))
            assert np.abs(alone - together[i]).max() < 1e-3
        raw = rows(await runner.embed(inputs[:1], truncate=True, normalize=False))
        assert np.linalg.norm(raw) != pytest.approx(1, abs=1e-3)

    with_runner(tiny_model(name), work, n_batch=64)


def test_inputs_longer_than_the_batch_are_computed_whole(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        text = "hello world " * 20
        (whole,) = rows(await runner.embed((text,), truncate=True, normalize=True))
        assert (await runner.embed(("hello",), truncate=True, normalize=True)).n_tokens == 4
        whole_again = rows(await runner.embed((text, "hello"), truncate=True, normalize=True))[0]
        assert np.abs(whole - whole_again).max() < 1e-3

    with_runner(tiny_model("lastpool"), work, n_batch=64, n_ctx=256)


def test_inputs_too_long_for_the_model(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert (await runner.embed(("the cat sat " * 90,), truncate=True, normalize=True)).n_tokens == 64
        with pytest.raises(BadRequest, match="the input length exceeds the context length"):
            await runner.embed(("cat", "the cat sat " * 90), truncate=False, normalize=True)
        with pytest.raises(BadRequest, match="does not generate text"):
            await say(runner, "hello")

    with_runner(tiny_model("bert"), work)


def test_a_model_that_generates_says_that_it_has_no_embeddings(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        with pytest.raises(BadRequest) as raised:
            await runner.embed(("a",), truncate=True, normalize=True)
        assert str(raised.value) == "This server does not support embeddings. Start it with `--embeddings`"  # recorded

    with_runner(tiny_model("bare"), work)


def test_log_probabilities(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        chunks = [m async for m in runner.generate("dice", sampling=GREEDY, n_logprobs=3) if isinstance(m, Chunk)]
        first, second = (chunk.logprobs[0] for chunk in chunks)
        assert (first.piece, first.logprob) == (b"rolled", 0)
        assert [alternative.piece for alternative in second.top] == [b" ace", b" deuce", b" trey"]
        assert [alternative.logprob for alternative in second.top] == pytest.approx([-0.909, -1.421, -1.932], abs=2e-3)

    with_runner(tiny_model("bare"), work)
