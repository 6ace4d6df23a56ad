"""A store, a registry that misbehaves on demand, and the transfers between them.

Their time passes only when they sleep.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from registry import pull as pulling
from registry import push as pushing
from registry.digest import Digest
from registry.names import ModelName
from registry.pace import Pace
from registry.progress import Progress
from registry.registries import Registries
from registry.store import Store
from tests.fakes.registry import FakeRegistry

STALL_S = 0.5
PART_BYTES = 1000
CANARY = b"nobody writes here"


class Site:
    """One machine: a home with a store in it, its way to registries, and how long its transfers slept."""

    def __init__(self, home: Path, pace: Pace | None = None, *, stall_s: float = STALL_S) -> None:
        self.home = home
        self.now_s = 0.0
        self.sleeps: list[float] = []
        pace = pace or Pace(part_bytes=PART_BYTES, flush_bytes=64, flush_s=0.0, worthwhile_bytes=1 << 20)
        pace = dataclasses.replace(pace, sleep=self._sleep, clock=lambda: self.now_s)
        self.store = Store(home / ".ollama" / "models")
        self.registries = Registries(self.store, home, version="0.33.0", pace=pace, stall_s=stall_s)

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0.001)

    async def pull(self, name: ModelName, *, insecure: bool = True, prune: bool = True) -> list[Progress]:
        return await collected(self.steps(name, insecure=insecure, prune=prune), [])

    def steps(self, name: ModelName, *, insecure: bool = True, prune: bool = True) -> AsyncGenerator[Progress, None]:
        return pulling.pull(name, registries=self.registries, store=self.store, insecure=insecure, prune=prune)

    async def push(self, name: ModelName, *, insecure: bool = True) -> list[Progress]:
        return [
            step async for step in pushing.push(name, registries=self.registries, store=self.store, insecure=insecure)
        ]

    def blob_names(self) -> list[str]:
        """Every file where blobs lie, unfinished ones included."""
        directory = self.store.blobs.directory
        return sorted(os.listdir(directory)) if directory.exists() else []

    def content(self, digest: str) -> bytes:
        return self.store.blobs.read_bytes(Digest.parse(digest))


async def collected(steps: AsyncGenerator[Progress, None], heard: list[Progress]) -> list[Progress]:
    """`heard` has what came also when the steps end with an error."""
    async with aclosing(steps):
        async for step in steps:
            heard.append(step)
    return heard


def statuses(steps: list[Progress]) -> list[str]:
    """The texts, each once in a row."""
    texts = [step.status for step in steps]
    return [text for index, text in enumerate(texts) if index == 0 or texts[index - 1] != text]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Its home lies in a directory with a canary in it, which lives to the end of the test."""
    canary = tmp_path / "canary"
    canary.write_bytes(CANARY)
    home = tmp_path / "home"
    home.mkdir()
    site = Site(home)
    yield site
    await site.registries.close()
    assert sorted(os.listdir(tmp_path)) == ["canary", "home"]
    assert canary.read_bytes() == CANARY
    assert set(os.listdir(home)) <= {".ollama", ".docker"}


async def left_tasks(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks beyond those of before, once those that end by themselves have had a moment to."""
    for _ in range(200):
        left = asyncio.all_tasks() - before
        if not left:
            break
        await asyncio.sleep(0.001)
    return left
