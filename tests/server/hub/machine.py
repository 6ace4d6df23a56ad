"""A store, the way from the Hub into it, and what the Hub has."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from models.gguf.values import ValueType
from models.library import Library
from registry.digest import Digest
from registry.errors import RegistryError
from registry.hub.source import Hub, HubSettings
from registry.manifest import MediaType
from registry.names import ModelName
from registry.pace import Pace
from registry.progress import Progress
from registry.registries import Registries
from registry.store import Store
from server.hub import HubPull
from tests.fakes.gguf_file import LLAMA, LLAMA_TENSORS, gguf_bytes, llama_bytes
from tests.fakes.hub import COMMIT

WHOLE = llama_bytes()
OTHER = llama_bytes(general__name="other")
PROJECTOR = gguf_bytes({"general.architecture": "clip", "general.type": "mmproj", "clip.vision.block_count": 1})
PLAIN = {"m-Q8_0.gguf": OTHER, "m-Q4_K_M.gguf": WHOLE, "README.md": b"# m"}


def shard(index: int, count: int) -> bytes:
    split = {"split.no": (ValueType.UINT16, index), "split.count": (ValueType.UINT16, count)}
    return gguf_bytes((LLAMA if index == 0 else {}) | split, [LLAMA_TENSORS[index]])


SHARDED = {f"q/m-Q4_K_M-{n + 1:05}-of-00003.gguf": shard(n, 3) for n in range(3)}


class Machine:
    """A store, and the way from the Hub into it."""

    def __init__(self, folder: Path, settings: HubSettings) -> None:
        self.store = Store(folder / "models")
        self.store.maintain()
        self.library = Library(self.store)
        pace = Pace(part_bytes=6000, flush_bytes=64, stream_delay_s=0.0, sleep=lambda _: asyncio.sleep(0))
        self.registries = Registries(self.store, folder, version="0.33.0", pace=pace, stall_s=2)
        self.settings = settings

    async def pull(self, text: str, **settings: Any) -> list[Progress]:
        hub = Hub(dataclasses.replace(self.settings, **settings))
        pull = HubPull(hub, self.registries, self.store, self.library, prune=True)
        async with aclosing(pull.pull(ModelName.parse(text))) as steps:
            return [step async for step in steps]

    async def refusal(self, text: str, **settings: Any) -> str:
        with pytest.raises(RegistryError) as caught:
            await self.pull(text, **settings)
        return str(caught.value).removeprefix("pull model manifest: ")

    def layers(self, text: str, kind: MediaType) -> list[bytes]:
        manifest = self.store.manifests.load(ModelName.parse(text)).manifest
        return [self.store.blobs.read_bytes(layer.digest) for layer in manifest.of_kind(kind)]

    def unreferenced(self) -> set[str]:
        kept = {d.file_name for stored in self.store.manifests.list() for d in stored.manifest.digests}
        return set(os.listdir(self.store.blobs.directory)) - kept


def statuses(steps: list[Progress]) -> list[str]:
    return list(dict.fromkeys(step.status for step in steps))


def fill_cache(folder: Path, contents: dict[str, bytes], *, revision: str = "main", links: bool = True) -> None:
    """As `hf download` does."""
    repository = folder / "models--u--r"
    for name in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (repository / name).mkdir(parents=True, exist_ok=True)
    reference = repository / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(COMMIT)
    for path, content in contents.items():
        blob = repository / "blobs" / Digest.of(content).hex
        file = repository / "snapshots" / COMMIT / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if links:
            blob.write_bytes(content)
            file.symlink_to(os.path.relpath(blob, file.parent))
        else:
            file.write_bytes(content)
