"""A runner's prompt cache, from its configuration to the counts in its answers; room that sequences share."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from models.runner.messages import Reason
from models.runner.process import RunnerProcess
from tests.integration import tiny_architectures
from tests.integration.test_engine_worker import say, with_runner

pytestmark = pytest.mark.model

STORY = "It was a dark and stormy night, and nobody had thought of the lamps. " * 8
OTHERS = [f"{name}: something else entirely, and quite a lot of it. " * 8 for name in "abcdef"]


@pytest.mark.parametrize(
    ("architecture", "prompt_cache_bytes", "is_cached"),
    [
        ("attention", 10**8, True),
        ("attention", 0, False),
        ("sliding window", 10**8, True),
        ("recurrent", 10**8, True),
        ("recurrent", 0, False),
        ("hybrid", 10**8, True),
    ],
)
def test_a_prompt_comes_back_after_others_took_its_place(
    tmp_path: Path, architecture: str, prompt_cache_bytes: int, is_cached: bool
) -> None:
    async def work(runner: RunnerProcess) -> None:
        first, _ = await say(runner, STORY + "Then", n_predict=10)
        for other in OTHERS:
            await say(runner, other, n_predict=2)
        again, end = await say(runner, STORY + "Then", n_predict=10)
        assert again == first
        assert end.n_cached >= len(STORY) - 32 if is_cached else end.n_cached == 0

    path = tiny_architectures.write(architecture, tmp_path / "model.gguf")
    with_runner(path, work, prompt_cache_bytes=prompt_cache_bytes, n_ctx=1024)


def test_sequences_that_share_too_little_room_all_come_to_their_ends(tmp_path: Path) -> None:
    """That they say the right thing is tried in test_engine_state.py: texts differ by rounding in other batches."""
    prompts = [STORY + name for name in "xyz"] + OTHERS[:3]

    async def work(runner: RunnerProcess) -> None:
        said = await asyncio.gather(*(say(runner, prompt, n_predict=60) for prompt in prompts))
        assert [(end.reason, end.n_generated) for _, end in said] == [(Reason.LIMIT, 60)] * len(prompts)

    path = tiny_architectures.write("attention", tmp_path / "model.gguf")
    with_runner(path, work, n_ctx=1024, n_parallel=4, n_cells=1280, prompt_cache_bytes=10**8)
