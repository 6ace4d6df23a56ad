"""Pull a model of the Hugging Face Hub: from its registry where that serves it, else made here of its files.

The registry knows neither sharded models nor revisions, and lets nobody in by an access token.
"""

from __future__ import annotations

import asyncio
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
    from models.create.takeover import Takeover
    from registry.hub.fetch import HubFetch
    from registry.hub.source import Hub
    from registry.locks import Lease
    from registry.registries import Registries

_POLL_S = 0.1


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
            made = self._made_of_shards(name, fetch, lease) if fetch.shards else self._made_of_files(name, fetch)
            async with aclosing(made) as steps:
                async for step in steps:
                    yield step
            # Shards are in the model now; whatever else came may be another model's as well.
            brought = [file.digest for file in fetch.selection.models if file.digest is not None]
            await in_thread(self._store.remove_unused, brought, lease=lease)
        yield Progress("success")

    async def _made_of_files(self, name: ModelName, fetch: HubFetch) -> AsyncGenerator[Progress, None]:
        current = await in_thread(fetch.find_current, name)
        steps = [fetch.bring(), self._made_anew(name, fetch)] if current is None else [self._kept(name, current)]
        async with aclosing(_in_turn(*steps)) as all_steps:
            async for step in all_steps:
                yield step

    async def _made_of_shards(self, name: ModelName, fetch: HubFetch, lease: Lease) -> AsyncGenerator[Progress, None]:
        """One pull at a time puts the same shards together; until then, all share their downloads."""
        from models.create.takeover import Takeover

        takeover = Takeover(self._store, fetch.shards, lease)
        try:
            await _acquire(takeover)
            current = await in_thread(fetch.find_current, name)
            if current is None and not takeover.is_begun:
                await in_thread(takeover.release)
                async with aclosing(fetch.bring()) as brought:
                    async for step in brought:
                        yield step
                await _acquire(takeover)
                current = await in_thread(fetch.find_current, name)  # somebody else may have made it meanwhile
            if current is not None:
                steps = [self._kept(name, current)]
            elif takeover.is_begun:
                steps = [fetch.bring(has_shards=True), self._made_anew(name, fetch, takeover)]
            else:
                await in_thread(takeover.begin)
                steps = [self._made_anew(name, fetch, takeover)]
            async with aclosing(_in_turn(*steps)) as all_steps:
                async for step in all_steps:
                    yield step
            if takeover.is_begun:
                await in_thread(takeover.discard)
        finally:
            await in_thread(takeover.release)

    async def _kept(self, name: ModelName, current: Manifest) -> AsyncGenerator[Progress, None]:
        for layer in current.blobs:
            yield Progress(f"pulling {layer.digest.short}", str(layer.digest), layer.size_bytes, layer.size_bytes)
        yield Progress("verifying sha256 digest")
        yield Progress("writing manifest")
        await in_thread(self._store.write_model, name, current)

    async def _made_anew(
        self, name: ModelName, fetch: HubFetch, takeover: Takeover | None = None
    ) -> AsyncGenerator[Progress, None]:
        """As if the files had been uploaded for a model; of those steps only the long ones are told."""
        yield Progress("verifying sha256 digest")
        async with aclosing(iterate_in_thread(lambda: self._create(name, fetch, takeover))) as lines:
            async for line in lines:
                if line.total or line.status == "writing manifest":
                    yield Progress(line.status, line.digest, line.total, line.completed)
        await in_thread(self._record, name, fetch)

    def _create(self, name: ModelName, fetch: HubFetch, takeover: Takeover | None) -> Iterator[CreateProgress]:
        from models.create.creation import create_model

        request = _to_request(name, fetch)
        if takeover is not None and takeover.is_begun:
            merged = yield from takeover.run()
            first, *others = fetch.shards  # a whole file has the name of the first shard from here on
            files = {path: digest for path, digest in (request.files or {}).items() if path not in others}
            request = replace(request, files=files | {first: str(merged)})
        yield from create_model(request, library=self._library, store=self._store, pull=_no_pull, prune=self._prune)

    def _record(self, name: ModelName, fetch: HubFetch) -> None:
        """Keep with the model what it was made of. Somebody may have deleted it already: then there is nothing to."""
        record = fetch.record
        assert record is not None, "what was brought has its digests"
        with contextlib.suppress(ManifestNotFound):
            manifest = self._store.manifests.load(name).manifest
            digest, _ = self._store.blobs.put_bytes(record)
            source = Layer(MediaType.HUB_SOURCE, digest, len(record))
            self._store.write_model(name, replace(manifest, layers=(*manifest.layers, source)))


async def _in_turn(*parts: AsyncGenerator[Progress, None]) -> AsyncGenerator[Progress, None]:
    for part in parts:
        async with aclosing(part) as steps:
            async for step in steps:
                yield step


async def _acquire(takeover: Takeover) -> None:
    """Wait until nobody else puts these shards together."""
    while True:
        if await in_thread(takeover.acquire):
            return
        await asyncio.sleep(_POLL_S)


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
