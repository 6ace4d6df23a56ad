"""A hundred pulls, creates, copies and deletes at once, from several processes that share a store and its blobs."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import random
import traceback
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path

from models.create.creation import create_model
from models.create.request import CreateRequest, Progress
from models.library import Library
from registry.digest import Digest
from registry.errors import ManifestNotFound
from registry.names import ModelName
from registry.pace import Pace
from registry.pull import pull
from registry.registries import Registries
from registry.store import Store
from tests.fakes.gguf_file import llama_bytes
from tests.fakes.registry import FakeRegistry

N_PROCESSES, N_STEPS = 4, 25
WEIGHTS = [llama_bytes(general__name=f"model {n}") for n in range(3)]
MODELS = [f"m{n}" for n in range(4)]
SYSTEMS = ["Be kind.", "Be brief."]

spawn = multiprocessing.get_context("spawn")


class Worker:
    """One process's random steps; all of them work on the same few names and contents."""

    def __init__(self, home: Path, pulled: list[str], seed: int) -> None:
        self.store = Store(home / "models")
        self.library = Library(self.store)
        self.registries = Registries(self.store, home, version="0.33.0", pace=Pace(part_bytes=4000, lock_poll_s=0.005))
        self.pulled = pulled
        self.rng = random.Random(seed)

    async def run(self) -> None:
        for _ in range(N_STEPS):
            await self.rng.choice(
                (self.pull, self.pull, self.create, self.create, self.copy, self.delete, self.delete)
            )()
        await self.registries.close()

    async def pull(self) -> None:
        name = ModelName.parse(self.rng.choice(self.pulled))
        steps = [step async for step in pull(name, registries=self.registries, store=self.store, insecure=True)]
        assert steps[-1].status == "success"

    async def create(self) -> None:
        await asyncio.to_thread(self._create, self.rng.choice(WEIGHTS))

    def _create(self, weights: bytes) -> None:
        """As a client does it: the upload is answered, then the model is asked for."""
        digest = Digest.of(weights)
        if not self.store.promise(digest):
            self.store.blobs.put_bytes(weights)
            self.store.promise(digest)
        request = CreateRequest(self.rng.choice(MODELS), files={"m.gguf": str(digest)}, system=self.rng.choice(SYSTEMS))
        steps = list(create_model(request, library=self.library, store=self.store, pull=no_pull))
        assert steps[-1].status == "success"

    async def copy(self) -> None:
        source, destination = (ModelName.parse(self.rng.choice(MODELS)) for _ in range(2))
        with contextlib.suppress(ManifestNotFound):
            await asyncio.to_thread(self.store.copy_model, source, destination)

    async def delete(self) -> None:
        name = ModelName.parse(self.rng.choice([*MODELS, *self.pulled]))
        with contextlib.suppress(ManifestNotFound):
            await asyncio.to_thread(self.store.delete_model, name)


def no_pull(name: ModelName) -> Iterator[Progress]:
    raise AssertionError(f"{name} is not needed")


def work(home: Path, pulled: list[str], seed: int, reports: Queue[str]) -> None:
    try:
        asyncio.run(Worker(home, pulled, seed).run())
        reports.put("done")
    except BaseException:
        reports.put(traceback.format_exc())


def test_a_hundred_steps_of_four_processes_lose_no_blob_and_leave_none(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        layers = [registry.layer("model", content) for content in WEIGHTS]
        pulled = [registry.add_manifest(f"lib/p{n}", layers[: n + 1], config=None) for n in range(3)]
        reports: Queue[str] = spawn.Queue()
        names = [str(name) for name in pulled]
        processes = [spawn.Process(target=work, args=(tmp_path, names, n, reports)) for n in range(N_PROCESSES)]
        for process in processes:
            process.start()
        found = [reports.get(timeout=120) for _ in processes]
        for process in processes:
            process.join(10)
            process.close()
        reports.close()
        reports.join_thread()
    assert found == ["done"] * N_PROCESSES, "\n".join(found)
    store = Store(tmp_path / "models")
    scan = store.manifests.scan()
    assert scan.problems == ()
    for stored in scan.manifests:
        for layer in stored.manifest.blobs:
            assert Digest.of(store.blobs.read_bytes(layer.digest)) == layer.digest, stored.name
    for stored in scan.manifests:
        store.delete_model(stored.name)
    for mark in (store.root / ".puna" / "promises").glob("*"):
        mark.unlink()  # of processes that are gone: a server would wait until they are over
    store.remove_unused(list(store.blobs.digests()))
    assert list(store.blobs.directory.iterdir()) == []
