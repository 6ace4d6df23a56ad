"""The cache of other programs: what is in it is not fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.digest import Digest
from registry.manifest import MediaType
from tests.fakes.hub import COMMIT, FakeHub
from tests.server.hub.machine import SHARDED, WHOLE, Machine, fill_cache

pytestmark = pytest.mark.anyio


async def test_a_cached_file_is_not_fetched_and_not_copied(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    fill_cache(tmp_path / "cache", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    assert hub.lines("/storage/") == []
    blob = machine.store.blobs.path(Digest.of(WHOLE))
    assert blob.samefile(tmp_path / "cache" / "models--u--r" / "blobs" / Digest.of(WHOLE).hex)


async def test_a_damaged_cached_file_is_fetched_anew(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    fill_cache(tmp_path / "cache", {"m.gguf": WHOLE})
    damaged = tmp_path / "cache" / "models--u--r" / "blobs" / Digest.of(WHOLE).hex
    damaged.write_bytes(WHOLE[::-1])
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]
    assert damaged.read_bytes() == WHOLE[::-1]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("revision", ["main", "v1", "refs/pr/1"])
async def test_offline_the_cache_is_the_hub(
    links: bool, revision: str, hub: FakeHub, machine: Machine, tmp_path: Path
) -> None:
    fill_cache(tmp_path / "cache", SHARDED | {"system": b"Be kind."}, revision=revision, links=links)
    name = "hf.co/u/r" if revision == "main" else f"hf.co/u/r@{revision}"
    await machine.pull(name, is_offline=True)
    await machine.pull(name, is_offline=True)
    assert machine.layers(name, MediaType.SYSTEM) == [b"Be kind."]
    assert hub.requests == [] and machine.unreferenced() == set()


async def test_offline_without_the_files_says_so(machine: Machine, tmp_path: Path) -> None:
    assert await machine.refusal("hf.co/u/r", is_offline=True) == (
        f"u/r is not in the cache {tmp_path / 'cache'}, and HF_HUB_OFFLINE is set"
    )


@pytest.mark.parametrize("tag", ["latest--..", "latest--main..", "latest--..secret", "latest--a....b"])
async def test_no_revision_leads_out_of_the_cache(tag: str, machine: Machine, tmp_path: Path) -> None:
    fill_cache(tmp_path / "cache", {"m.gguf": WHOLE})
    assert "is not in the cache" in await machine.refusal(f"hf.co/u/r:{tag}", is_offline=True)


async def test_a_link_out_of_the_cache_is_no_file_of_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WHOLE)
    fill_cache(tmp_path / "cache", {})
    (tmp_path / "cache" / "models--u--r" / "snapshots" / COMMIT / "m.gguf").symlink_to(tmp_path / "secret")
    assert "is not in the cache" in await machine.refusal("hf.co/u/r", is_offline=True)
