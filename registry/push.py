"""Bring a model from the store to its registry. # Compat: registry-store-cli 4; http-api 6.10."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from registry.client import RegistryClient
from registry.downloads import TICK_S
from registry.errors import InvalidName
from registry.manifest import Layer, encode_manifest
from registry.names import ModelName
from registry.pace import Pace
from registry.progress import Progress
from registry.registries import Registries
from registry.store import Store
from registry.threads import in_thread
from registry.upload import UploadTask


async def push(
    name: ModelName, *, registries: Registries, store: Store, insecure: bool = False
) -> AsyncGenerator[Progress, None]:
    """Send what the registry lacks of a model, then its manifest.

    Raises: ManifestNotFound, CorruptManifest, BlobNotFound, TransferError, StoreUnusable.
    """
    yield Progress("retrieving manifest")
    stored = await in_thread(store.manifests.load, name)
    client = registries.client(stored.name, insecure=insecure)
    for layer in stored.manifest.blobs:
        async with aclosing(_push_layer(layer, client, registries.pace, store)) as steps:
            async for step in steps:
                yield step
    yield Progress("pushing manifest")
    # Compat: registry-store-cli 4: written anew from the known fields, without the newline of the file.
    await client.put_manifest(stored.name.tag, encode_manifest(stored.manifest).rstrip(b"\n"))
    yield Progress("success")


async def _push_layer(layer: Layer, client: RegistryClient, pace: Pace, store: Store) -> AsyncGenerator[Progress, None]:
    status, digest = f"pushing {layer.digest.short}", str(layer.digest)
    if not await client.has_blob(layer.digest):
        size_bytes = await in_thread(store.blobs.size, layer.digest)
        upload = UploadTask(client, store.blobs.path(layer.digest), layer.digest, size_bytes, pace)
        task = asyncio.create_task(upload.run(_repository_of(layer.from_name)))
        try:
            while not task.done():
                await asyncio.wait([task], timeout=TICK_S)
                if not task.done():
                    yield Progress(status, digest, upload.total_bytes, upload.completed_bytes)
            task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
    yield Progress(status, digest, layer.size_bytes, layer.size_bytes)


def _repository_of(from_name: str) -> str:
    """`namespace/model` of the model that a layer came from; empty if it came from a file."""
    try:
        name = ModelName.parse(from_name)
    except InvalidName:
        return ""
    return f"{name.namespace}/{name.model}"
