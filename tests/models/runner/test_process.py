"""The parent side against a child that speaks the protocol but has no model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import psutil
import pytest

from models.errors import BadRequest, LoadError, OutOfMemory, RunnerCrashed, RunnerError
from models.runner import child, mailbox, process
from models.runner.messages import Chunk, Finished, InputCut
from models.runner.process import RunnerProcess
from models.runner.settings import RunnerConfig, Sampling


@pytest.fixture(autouse=True)
def _fake_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "WORKER", "tests.fakes.worker")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


async def start(path: str = "good") -> RunnerProcess:
    config = RunnerConfig(path, n_ctx=64, n_parallel=1, n_batch=8, n_gpu_layers=0, n_threads=1)
    return await RunnerProcess.start(config, stall_timeout_s=1.0 if path == "stall" else 20.0)


async def say(runner: RunnerProcess, prompt: str) -> list[str | None]:
    messages = runner.generate(prompt, sampling=Sampling())
    return [m.text if isinstance(m, Chunk) else None async for m in messages]


def test_a_reply_is_its_chunks_and_one_final_message() -> None:
    async def work() -> None:
        runner = await start()
        assert await say(runner, "a b c") == ["a", "b", "c", None]
        assert await runner.tokenize("hé") == (104, 195, 169)
        assert await runner.detokenize((104, 195, 169)) == "hé"
        assert (await runner.embed(("a", "b"), truncate=True, normalize=True)).n_tokens == 2
        await runner.stop()
        assert not runner.is_alive

    run(work())


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("bad", LoadError, "llama-server process has terminated: exit status 1: no such architecture"),
        ("large", OutOfMemory, "llama-server reported out-of-memory during startup: 400 GB"),
        ("die", LoadError, "llama-server process has terminated: exit status 3: error: the file is strange"),
        ("stall", LoadError, "timed out waiting for llama-server to start - no progress"),
    ],
)
def test_a_load_that_fails_says_why(path: str, error: type[Exception], text: str) -> None:
    async def work() -> None:
        with pytest.raises(error) as raised:
            await start(path)
        assert str(raised.value) == text

    run(work())


def test_cancelling_a_load_kills_the_child() -> None:
    async def work() -> None:
        loading = asyncio.create_task(start("stall"))
        await asyncio.sleep(0.2)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading

    run(work())


def test_every_open_request_hears_of_a_crash_and_later_ones_too() -> None:
    async def work() -> None:
        runner = await start()
        hanging = asyncio.create_task(say(runner, "hang"))
        await asyncio.sleep(0)
        with pytest.raises(RunnerCrashed, match=r"model runner has unexpectedly stopped.*: GGML_ASSERT failed"):
            await say(runner, "crash")
        with pytest.raises(RunnerCrashed):
            await hanging
        assert not runner.is_alive
        with pytest.raises(RunnerCrashed):
            await say(runner, "a")
        await runner.stop()

    run(work())


def test_a_refusal_concerns_one_request_only() -> None:
    async def work() -> None:
        runner = await start()
        with pytest.raises(BadRequest, match="too long"):
            await say(runner, "refuse")
        assert await say(runner, "a") == ["a", None]
        await runner.stop()

    run(work())


def test_a_prompt_too_long_for_a_frame_is_refused_and_the_runner_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_FRAME_BYTES", 1000)

    async def work() -> None:
        runner = await start()
        with pytest.raises(BadRequest, match="too long"):
            await say(runner, "a" * 1000)
        assert await say(runner, "a") == ["a", None]
        assert runner._mailboxes == {}
        await runner.stop()

    run(work())


def test_a_long_list_of_inputs_is_embedded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "EMBED_INPUTS", 2)

    async def work() -> None:
        runner = await start()
        answer = await runner.embed(("a", "long", "c", "d", "long"), truncate=True, normalize=True)
        assert (len(answer.vectors), answer.n_embd, answer.n_tokens) == (5 * 8, 2, 5)
        assert answer.cuts == (InputCut(1, 9, 1), InputCut(4, 9, 1))
        await runner.stop()

    run(work())


@pytest.mark.parametrize("n_steps", range(8))
def test_a_load_cancelled_at_any_moment_leaves_no_child_and_no_socket(n_steps: int) -> None:
    """A row's story: a client that left while the pair of sockets was being opened left a child behind."""

    async def work() -> None:
        before = psutil.Process().num_fds()
        loading = asyncio.create_task(start("stall"))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await asyncio.sleep(0)  # transports close in the next turn of the loop
        await asyncio.sleep(0)
        assert psutil.Process().num_fds() <= before

    run(work())


def test_a_reader_that_leaves_cancels_its_request() -> None:
    async def work() -> None:
        runner = await start()
        messages: Any = runner.generate("hang", sampling=Sampling())
        async with contextlib.aclosing(messages):
            assert isinstance(await anext(messages), Chunk)
        assert await say(runner, "a") == ["a", None]
        assert runner._mailboxes == {}
        await runner.stop()

    run(work())


def test_chunks_for_a_slow_reader_are_joined_in_order() -> None:
    async def work() -> None:
        runner = await start()
        words = [f"w{i} " for i in range(5000)]
        texts: list[str] = []
        async for message in runner.generate(" ".join(words), sampling=Sampling()):
            if isinstance(message, Finished):
                break
            texts.append(message.text)
            if len(texts) == 1:
                await runner.tokenize("all has come when this is answered")
        assert "".join(texts) == "".join(w.strip() for w in words)
        assert len(texts) <= mailbox.JOIN_ABOVE + 2
        await runner.stop()

    run(work())


def test_a_reply_that_nobody_reads_is_cancelled_and_the_rest_of_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mailbox, "UNREAD_BYTES", 2_000_000)

    async def work() -> None:
        runner, given_up = await start(), asyncio.Event()
        give_up = runner._give_up

        def give_up_and_tell(request_id: int) -> None:
            give_up(request_id)
            given_up.set()

        monkeypatch.setattr(runner, "_give_up", give_up_and_tell)
        reply: Any = runner.generate("flood", sampling=Sampling())
        texts = [(await anext(reply)).text]
        await given_up.wait()
        assert await say(runner, "a b") == ["a", "b", None]  # it has stopped, or it would not hear of this
        with pytest.raises(RunnerError, match="the reply was not read"):
            async for message in reply:
                texts.append(message.text)
        numbers = [int(number) for number in "".join(texts).split()[::1000]]
        assert numbers == list(range(len(numbers))) and len(numbers) > 150
        assert sum(map(len, texts)) < 3_000_000
        assert runner._mailboxes == {}
        assert "nobody reads the reply to request 1" in caplog.text
        await runner.stop()

    run(work())
