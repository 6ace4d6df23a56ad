"""Models of several files: put together in the room of one."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from models.gguf.reader import read_gguf
from registry.digest import Digest
from registry.hub.source import Hub
from registry.manifest import MediaType
from registry.names import ModelName
from server.hub import HubPull
from tests.fakes.gguf_file import LLAMA_TENSORS
from tests.fakes.hub import COMMIT, FakeHub
from tests.server.hub.machine import SHARDED, Machine, fill_cache, statuses

pytestmark = pytest.mark.anyio


async def test_shards_become_one_file_and_leave_nothing(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", SHARDED)
    steps = await machine.pull("hf.co/u/r:Q4_K_M")
    assert [s for s in statuses(steps) if s.startswith("pulling ")][1:] == [
        f"pulling {Digest.of(content).short}" for content in SHARDED.values()
    ]
    spec = machine.library.spec(ModelName.parse("hf.co/u/r:Q4_K_M"))
    assert spec.weights is not None
    assert [t.name for t in read_gguf(spec.weights).tensors or ()] == [t.name for t in LLAMA_TENSORS]
    assert machine.unreferenced() == set()


@pytest.mark.parametrize("stop_at", ["verifying sha256 digest", "merging GGUF shards", "writing manifest"])
async def test_a_merge_that_is_left_goes_on_without_the_shards(
    stop_at: str, hub: FakeHub, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.create.takeover.REPORT_BYTES", 100)
    monkeypatch.setattr("models.create.takeover.FREE_BYTES", 100)
    hub.add("u/r", SHARDED)
    pull = HubPull(Hub(machine.settings), machine.registries, machine.store, machine.library, prune=True)
    async with aclosing(pull.pull(ModelName.parse("hf.co/u/r"))) as steps:
        async for step in steps:
            if step.status == stop_at:
                break
    assert machine.store.manifests.list() == []
    sent = hub.sent_bytes
    n_shards = sum(machine.store.blobs.has(Digest.of(content)) for content in SHARDED.values())
    assert n_shards == (3 if stop_at == "verifying sha256 digest" else 0)
    await machine.pull("hf.co/u/r")
    assert hub.lines("/storage/")[6:] == [] and hub.sent_bytes - sent < min(map(len, SHARDED.values()))
    spec = machine.library.spec(ModelName.parse("hf.co/u/r"))
    assert spec.weights is not None
    assert [t.name for t in read_gguf(spec.weights).tensors or ()] == [t.name for t in LLAMA_TENSORS]
    assert machine.unreferenced() == set()


async def test_pulls_of_the_same_shards_at_once_share_their_downloads(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", SHARDED)
    hub.add("u/r", SHARDED, revision="v1")
    await asyncio.gather(*(machine.pull(name) for name in ("hf.co/u/r", "hf.co/u/r", "hf.co/u/r@v1")))
    assert hub.sent_bytes < 2 * sum(map(len, SHARDED.values()))
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == machine.layers("hf.co/u/r@v1", MediaType.MODEL)
    assert machine.unreferenced() == set()


async def test_shards_of_the_cache_stay_as_they_are(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hub.add("u/r", SHARDED)
    fill_cache(tmp_path / "cache", SHARDED)
    await machine.pull("hf.co/u/r")
    assert hub.lines("/storage/") == [] and machine.unreferenced() == set()
    for path, content in SHARDED.items():
        assert (tmp_path / "cache/models--u--r/snapshots" / COMMIT / path).read_bytes() == content


async def test_what_was_merged_is_not_fetched_again(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", SHARDED)
    await machine.pull("hf.co/u/r")
    manifest = machine.store.manifests.load(ModelName.parse("hf.co/u/r")).raw
    sent = hub.sent_bytes
    steps = await machine.pull("hf.co/u/r")
    assert hub.sent_bytes - sent < min(map(len, SHARDED.values()))
    assert statuses(steps)[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    assert machine.store.manifests.load(ModelName.parse("hf.co/u/r")).raw == manifest
    hub.add("u/r", SHARDED | {"system": b"Be brief."})
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.SYSTEM) == [b"Be brief."]
