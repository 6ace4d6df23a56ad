"""Pulls that are killed, and pulls of several processes: the store has all of a blob or nothing of it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from registry.names import ModelName
from registry.pace import Pace
from registry.pull import pull
from registry.registries import Registries
from registry.store import Store
from tests.fakes.faulty_http import CHUNK_BYTES
from tests.fakes.registry import FakeRegistry

spawn = multiprocessing.get_context("spawn")
PACE = Pace(part_bytes=1 << 20, n_streams_at_once=2, flush_bytes=CHUNK_BYTES, lock_poll_s=0.01)
CONTENT = random.Random(7).randbytes(3 << 20)


def pull_repeatedly(home: str, names: list[str], delete: bool = False) -> None:
    """What a server does, in a process of its own."""

    async def run() -> None:
        store = Store(Path(home) / "models")
        registries = Registries(store, Path(home), version="0.33.0", pace=PACE)
        for text in names:
            name = ModelName.parse(text)
            async for _ in pull(name, registries=registries, store=store, insecure=True):
                pass
            if delete:
                store.delete_model(name)
        await registries.close()

    asyncio.run(run())


@contextmanager
def running(home: Path, *names: ModelName, delete: bool = False) -> Iterator[BaseProcess]:
    process = spawn.Process(target=pull_repeatedly, args=(str(home), [str(name) for name in names], delete))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wait_for_bytes(registry: FakeRegistry, n_bytes: int, process: BaseProcess) -> None:
    deadline = time.monotonic() + 60
    while registry.sent_bytes < n_bytes and process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def blob_files(home: Path) -> list[str]:
    return sorted(os.listdir(home / "models" / "blobs"))


def test_a_pull_that_is_killed_again_and_again_ends_with_the_same_store(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        name = registry.add_manifest("lib/m", [registry.layer("model", CONTENT)], config=None)
        registry.pause_s = 0.002
        for kill_at in (0.3, 0.7):
            with running(tmp_path, name) as process:
                wait_for_bytes(registry, int(len(CONTENT) * kill_at), process)
        registry.pause_s = 0.0
        with running(tmp_path, name) as process:
            process.join(60)
            assert process.exitcode == 0
        assert registry.sent_bytes < 1.5 * len(CONTENT), "a kill costs what is in flight, not what came before"
        store = Store(tmp_path / "models")
        (layer,) = store.manifests.load(name).manifest.layers
        assert store.blobs.read_bytes(layer.digest) == CONTENT
        assert blob_files(tmp_path) == [layer.digest.file_name]


def test_processes_that_pull_the_same_fetch_it_once(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        names = [registry.add_manifest(f"lib/m{n}", [registry.layer("model", CONTENT)], config=None) for n in range(2)]
        registry.pause_s = 0.002
        with running(tmp_path, names[0]) as first:
            wait_for_bytes(registry, 100_000, first)
            with running(tmp_path, names[1]) as second:
                first.join(60)
                second.join(60)
        assert (first.exitcode, second.exitcode) == (0, 0)
        assert registry.sent_bytes == len(CONTENT)
    assert len(blob_files(tmp_path)) == 1
    assert len(Store(tmp_path / "models").manifests.list()) == 2


def test_whoever_waits_takes_over_from_a_process_that_dies(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        name = registry.add_manifest("lib/m", [registry.layer("model", CONTENT)], config=None)
        registry.pause_s = 0.002
        with running(tmp_path, name) as first, running(tmp_path, name) as second:
            wait_for_bytes(registry, len(CONTENT) // 2, first)
            first.kill()
            second.join(60)
            assert second.exitcode == 0 or first.exitcode == 0
        assert registry.sent_bytes < 1.5 * len(CONTENT)
        assert len(blob_files(tmp_path)) == 1


def test_pulls_and_deletes_at_once_lose_nothing(tmp_path: Path) -> None:
    """Models that share a layer come and go in two processes; one of them stays in the end, whole."""
    with FakeRegistry() as registry:
        shared = registry.layer("model", CONTENT[:200_000])
        names = [registry.add_manifest(f"lib/m{n}", [shared], config=None) for n in range(2)]
        kept = registry.add_manifest("lib/kept", [shared], config=None)
        with running(tmp_path, *[names[0]] * 8, delete=True) as first, running(tmp_path, *[kept] * 8) as second:
            first.join(60)
            second.join(60)
        assert (first.exitcode, second.exitcode) == (0, 0)
    store = Store(tmp_path / "models")
    (stored,) = store.manifests.list()
    assert store.blobs.read_bytes(stored.manifest.layers[0].digest) == CONTENT[:200_000]
