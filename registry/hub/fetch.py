"""Everything of one model on the Hub, brought into the store: what it is made of, not yet a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from registry.digest import Digest
from registry.errors import (
    AccessDenied,
    BlobNotFound,
    InvalidManifest,
    ManifestNotFound,
    ManifestUnavailable,
    NotInRegistry,
    RegistryRefused,
    UntrustedRealm,
)
from registry.gojson import encode_sorted
from registry.hub.reference import Reference
from registry.hub.repository import CachedRepository, OnlineRepository, Repository
from registry.hub.selection import HubFile, Selection, choose
from registry.hub.source import Hub
from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from registry.progress import Progress
from registry.pull import renewed_size
from registry.registries import Registries
from registry.store import Store
from registry.threads import in_thread

_PASSING = (408, 412, 425, 429)
"""Refusals that are about the moment, or about this program's version, rather than about the repository."""


def is_beyond_registry(error: ManifestUnavailable) -> bool:
    """Whether the Hub's registry said no in a way that leaves hope for the Hub's files.

    It refuses sharded models with 400, labels that it does not know with 400 or 404, and with 401 or 403 whoever
    needs an access token.
    """
    match error.reason:
        case RegistryRefused(status=status):
            return 400 <= status < 500 and status not in _PASSING
        case NotInRegistry() | AccessDenied() | UntrustedRealm():
            return True
    return False


class HubFetch:
    """The files of one model. `find` comes first, then `bring`, under a lease of the caller's.

    `texts` are what the repository's author wrote for servers like this one: any of `template`, `system`, `params`.
    """

    def __init__(self, name: ModelName, hub: Hub, registries: Registries, store: Store) -> None:
        self.reference = Reference.of(name)
        self.selection = Selection(())
        self.texts: dict[str, str] = {}
        self._store = store
        self._repository = _repository(self.reference, hub, registries, store)

    async def find(self) -> None:
        """Choose among the repository's files, and read its texts. Raises: TransferError."""
        self.selection = choose(await self._repository.list_files(), self.reference.label)
        for name, file in self.selection.texts.items():
            self.texts[name] = (await self._repository.read(file)).decode("utf-8", "replace")

    @property
    def shards(self) -> dict[str, Digest]:
        """The digests of the weights by their paths, if there are several files and the listing tells of each."""
        found = {file.path: file.digest for file in self.selection.weights if file.digest is not None}
        return found if len(found) == len(self.selection.weights) > 1 else {}

    async def bring(self, *, has_shards: bool = False) -> AsyncGenerator[Progress, None]:
        """Get the weights and the projector; afterwards `selection` knows their digests. Raises: TransferError.

        `has_shards`: the caller has what the shards have, and the store need not have them.
        """
        identified: dict[str, HubFile] = {}
        shards = self.shards if has_shards else {}
        for listed in self.selection.models:
            file = await self._repository.identified(listed)
            identified[file.path] = file
            if file.digest is not None and file.path in shards:
                yield Progress(f"pulling {file.digest.short}", str(file.digest), file.size_bytes, file.size_bytes)
                continue
            async with aclosing(self._bring(file)) as steps:
                async for step in steps:
                    yield step
        self.selection = Selection(
            tuple(identified[file.path] for file in self.selection.weights),
            self.selection.projector and identified[self.selection.projector.path],
            self.selection.texts,
        )

    async def _bring(self, file: HubFile) -> AsyncGenerator[Progress, None]:
        assert file.digest is not None, "it was identified"
        status, digest = f"pulling {file.digest.short}", str(file.digest)
        layer = Layer(MediaType.MODEL, file.digest, file.size_bytes)
        if await in_thread(renewed_size, self._store, layer) is None:
            completed = 0
            async with aclosing(self._repository.bring(file)) as steps:
                async for total, done in steps:
                    completed = max(completed, done)
                    yield Progress(status, digest, total, completed)
        else:
            yield Progress(status, digest, file.size_bytes, file.size_bytes)

    # -- what the model was made of ----------------------------------------------------------------------------------

    @property
    def record(self) -> bytes | None:
        """What is kept with the model, so that the same files are not fetched again; None without all digests."""
        files = {file.path: str(file.digest) for file in self.selection.models if file.digest is not None}
        if len(files) < len(self.selection.models):
            return None
        texts = {name: str(Digest.of(text.encode())) for name, text in self.texts.items()}
        return encode_sorted({"repository": self.reference.repository, "files": files, "texts": texts}) + b"\n"

    def find_current(self, name: ModelName) -> Manifest | None:
        """The model of this name, if it is whole and was made of exactly these files; its blobs stay. Blocks."""
        record = self.record
        if record is None:
            return None
        try:
            manifest = self._store.manifests.load(name).manifest
            if [layer.digest for layer in manifest.of_kind(MediaType.HUB_SOURCE)] != [Digest.of(record)]:
                return None
            for layer in manifest.blobs:
                if renewed_size(self._store, layer) is None:
                    return None
        except (ManifestNotFound, InvalidManifest, BlobNotFound):
            return None
        return manifest


def _repository(reference: Reference, hub: Hub, registries: Registries, store: Store) -> Repository:
    settings = hub.settings
    if settings.is_offline and settings.cache is not None:
        return CachedRepository(settings.cache, reference, store)
    client = registries.file_client(settings.endpoint, settings.token)
    return OnlineRepository(hub, reference, client, registries.downloads, store)
