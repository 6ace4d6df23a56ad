"""Bring a model from its registry into the store. # Compat: registry-store-cli 3; http-api 6.9."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import (
    BlobNotFound,
    DownloadCorrupt,
    EmptyDigest,
    InvalidManifest,
    ManifestUnavailable,
    NeedsMLX,
    StoreUnusable,
    TransferError,
)
from registry.fields import decode_object
from registry.gojson_errors import check_syntax
from registry.locks import Lease
from registry.manifest import Layer, Manifest, MediaType, parse_manifest
from registry.names import ModelName
from registry.progress import Progress
from registry.registries import Registries
from registry.store import Store
from registry.threads import in_thread


async def pull(
    name: ModelName, *, registries: Registries, store: Store, insecure: bool = False, prune: bool = True
) -> AsyncGenerator[Progress, None]:
    """Download what the store lacks of a model, then write its manifest byte for byte as the registry sent it.

    The registry is asked for the name as it is given; the store keeps the spelling that it has. With `prune`, what only
    the replaced model had is removed.
    Raises: TransferError, InvalidDigest, StoreUnusable; the model is then as it was before.
    """
    yield Progress("pulling manifest")
    client = registries.client(name, insecure=insecure)
    raw = await _get_manifest(client, name.tag)
    manifest = await in_thread(_checked, raw, client.repository.path)
    async with leased(store) as lease:
        for layer in manifest.blobs:
            async with aclosing(_pull_layer(layer, client, registries, store)) as steps:
                async for step in steps:
                    yield step
        # Nothing is left to do: every blob was hashed on its way here, before it got its name.
        yield Progress("verifying sha256 digest")
        yield Progress("writing manifest")
        written = await in_thread(store.write_model, name, raw)
        if written.dropped and prune:
            yield Progress("removing unused layers")
            try:
                await in_thread(store.remove_unused, written.dropped, lease=lease)
            except StoreUnusable as error:
                yield Progress(f"couldn't remove unused layers: {error}")
    yield Progress("success")


async def _get_manifest(client: RegistryClient, tag: str) -> bytes:
    try:
        return await client.get_manifest(tag)
    except TransferError as error:
        raise ManifestUnavailable(error) from error


def _checked(raw: bytes, repository: str) -> Manifest:
    """The manifest, each digest in it sound: none reaches a path or an address otherwise.

    Raises: EmptyDigest, InvalidDigest, NeedsMLX, ManifestUnavailable.
    """
    try:
        check_syntax(raw)
        texts = [layer.text("digest") for layer in decode_object(raw).objects("layers")]
        if not all(texts):
            raise EmptyDigest(repository)
        for text in texts:
            Digest.parse(text)
        manifest = parse_manifest(raw)
    except InvalidManifest as error:
        raise ManifestUnavailable(error) from error
    if any(layer.media_type == MediaType.TENSOR for layer in manifest.layers):
        raise NeedsMLX
    return manifest


async def _pull_layer(
    layer: Layer, client: RegistryClient, registries: Registries, store: Store
) -> AsyncGenerator[Progress, None]:
    status = f"pulling {layer.digest.short}"
    size_bytes = await in_thread(renewed_size, store, layer)
    if size_bytes is not None:
        yield Progress(status, str(layer.digest), size_bytes, size_bytes)
        return
    completed = 0
    try:
        async with aclosing(registries.downloads.fetch(layer, client)) as steps:
            async for total, done in steps:
                completed = max(completed, done)
                yield Progress(status, str(layer.digest), total, completed)
    except DownloadCorrupt:
        yield Progress("verifying sha256 digest")
        raise


def renewed_size(store: Store, layer: Layer) -> int | None:
    """The size of the blob if the store has it, which then stays there for us; None if it has to be fetched."""
    try:
        size_bytes = store.blobs.size(layer.digest)
        if layer.size_bytes and size_bytes != layer.size_bytes:
            return None  # cut short by a crash of a program that does not sync
        store.blobs.touch(layer.digest)
    except BlobNotFound:
        return None
    return size_bytes


@asynccontextmanager
async def leased(store: Store) -> AsyncIterator[Lease]:
    """A lease that ends in any case, also when the task is cancelled while it begins."""
    begun: list[Lease] = []
    try:
        await in_thread(lambda: begun.append(store.lease()))
        yield begun[0]
    finally:
        for lease in begun:
            await in_thread(lease.end)
