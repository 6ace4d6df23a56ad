"""Pull a model of the Hugging Face Hub: from its registry where that serves it, else made here of its files.

The registry knows neither sharded models nor revisions, and lets nobody in by an access token.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from models.create.request import CreateRequest
from models.create.request import Progress as CreateProgress
from models.errors import InvalidLayer
from models.layer_text import parse_parameters
from models.library import Library
from registry.errors import ConnectionFailed, HubRefusal, ManifestNotFound, ManifestUnavailable, TransferError
from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from registry.progress import Progress
from registry.store import Store
from registry.threads import in_thread
from server.threads import iterate_in_thread

if TYPE_CHECKING:
    from registry.hub.fetch import HubFetch
    from registry.hub.source import Hub
    from registry.registries import Registries


class HubPull:
    """Pulls from the Hub into one store. With `prune`, what only a replaced model had is removed."""

    def __init__(self, hub: Hub, registries: Registries, store: Store, library: Library, *, prune: bool) -> None:
        self._hub = hub
        self._registries = registries
        self._store = store
        self._library = library
        self._prune = prune

    async def pull(self, name: ModelName, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Bring a model into the store. Raises: TransferError, ModelError, StoreUnusable."""
        from registry.hub.fetch import HubFetch, is_beyond_registry

        fetch = HubFetch(name, self._hub, self._registries, self._store)
        refusal: ManifestUnavailable | None = None
        if self._is_for_registry(fetch):
            try:
                async with aclosing(self._from_registry(name, insecure)) as steps:
                    async for step in steps:
                        yield step
                return
            except ManifestUnavailable as error:
                if not is_beyond_registry(error):
                    raise
                refusal = error
        else:
            yield Progress("pulling manifest")
        await self._find(fetch, refusal)
        async with aclosing(self._from_files(name, fetch)) as steps:
            async for step in steps:
                yield step

    def _is_for_registry(self, fetch: HubFetch) -> bool:
        settings = self._hub.settings
        return settings.has_registry and not settings.is_offline and not fetch.reference.revision

    def _from_registry(self, name: ModelName, insecure: bool) -> AsyncGenerator[Progress, None]:
        from registry.pull import pull

        return pull(name, registries=self._registries, store=self._store, insecure=insecure, prune=self._prune)

    async def _find(self, fetch: HubFetch, refusal: ManifestUnavailable | None) -> None:
        """Raises: ManifestUnavailable: the registry's own where the Hub cannot be reached either."""
        try:
            await fetch.find()
            _parameters(fetch)
        except ConnectionFailed as error:
            raise refusal or ManifestUnavailable(error) from error
        except TransferError as error:
            raise ManifestUnavailable(error) from error

    async def _from_files(self, name: ModelName, fetch: HubFetch) -> AsyncGenerator[Progress, None]:
        from registry.pull import leased

        async with leased(self._store) as lease:
            current = await in_thread(fetch.find_current, name)
            steps = self._made_anew(name, fetch) if current is None else self._kept(name, current)
            async with aclosing(steps):
                async for step in steps:
                    yield step
            # Shards are in the model now; whatever else came may be another model's as well.
            brought = [file.digest for file in fetch.selection.models if file.digest is not None]
            await in_thread(self._store.remove_unused, brought, lease=lease)
        yield Progress("success")

    async def _kept(self, name: ModelName, current: Manifest) -> AsyncGenerator[Progress, None]:
        for layer in current.blobs:
            yield Progress(f"pulling {layer.digest.short}", str(layer.digest), layer.size_bytes, layer.size_bytes)
        yield Progress("verifying sha256 digest")
        yield Progress("writing manifest")
        await in_thread(self._store.write_model, name, current)

    async def _made_anew(self, name: ModelName, fetch: HubFetch) -> AsyncGenerator[Progress, None]:
        """As if the files had been uploaded for a model; of those steps only the long ones are told."""
        async with aclosing(fetch.bring()) as steps:
            async for step in steps:
                yield step
        yield Progress("verifying sha256 digest")
        async with aclosing(iterate_in_thread(lambda: self._create(name, fetch))) as lines:
            async for line in lines:
                if line.total or line.status == "writing manifest":
                    yield Progress(line.status, line.digest, line.total, line.completed)
        await in_thread(self._record, name, fetch)

    def _create(self, name: ModelName, fetch: HubFetch) -> Iterator[CreateProgress]:
        from models.create.creation import create_model

        return create_model(
            _to_request(name, fetch), library=self._library, store=self._store, pull=_no_pull, prune=self._prune
        )

    def _record(self, name: ModelName, fetch: HubFetch) -> None:
        """Keep with the model what it was made of. Somebody may have deleted it already: then there is nothing to."""
        record = fetch.record
        assert record is not None, "what was brought has its digests"
        with contextlib.suppress(ManifestNotFound):
            manifest = self._store.manifests.load(name).manifest
            digest, _ = self._store.blobs.put_bytes(record)
            source = Layer(MediaType.HUB_SOURCE, digest, len(record))
            self._store.write_model(name, replace(manifest, layers=(*manifest.layers, source)))


def _to_request(name: ModelName, fetch: HubFetch) -> CreateRequest:
    return CreateRequest(
        name=str(name),
        files={file.path: str(file.digest) for file in fetch.selection.models},
        template=fetch.texts.get("template", ""),
        system=fetch.texts.get("system", ""),
        parameters=_parameters(fetch),
    )


def _parameters(fetch: HubFetch) -> dict[str, Any]:
    """Raises: HubRefusal."""
    try:
        return parse_parameters(fetch.texts.get("params", "{}"))
    except InvalidLayer as error:
        raise HubRefusal(f"the file params of {fetch.reference.repository}: {error}") from error


def _no_pull(name: ModelName) -> Iterable[CreateProgress]:
    raise AssertionError(f"{name}: a model made of files has no base")
