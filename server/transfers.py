"""Moving models between this store and registries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from models.create.request import Progress as CreateProgress
from models.library import Library
from registry.errors import InvalidName, ManifestNotFound
from registry.hub.reference import is_on_hub
from registry.names import ModelName
from registry.progress import Progress
from registry.store import Store
from server.builtin import Builtin
from server.errors import TransferFailed
from server.hub import HubPull
from server.threads import iterate_in_thread, iterate_on_loop
from server.version import VERSION

if TYPE_CHECKING:
    from registry.hub.source import Hub, HubSettings
    from registry.registries import Registries


class Transfers:
    """Pull and push, for routes. `home` has the key and the passwords that registries ask for.

    `hub` is the Hugging Face Hub to ask; without it the one that the user's environment names, as whom that says.
    While the processor `is_needed_elsewhere`, downloads take little of it.
    Nothing that speaks HTTP is imported before the first transfer: most servers serve what they have.
    """

    def __init__(
        self,
        store: Store,
        library: Library,
        builtin: Builtin,
        *,
        home: Path,
        prune: bool = True,
        hub: HubSettings | None = None,
        is_needed_elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._library = library
        self._builtin = builtin
        self._hub = hub
        self._is_needed_elsewhere = is_needed_elsewhere
        self._home = home
        self._prune = prune
        self._registries: Registries | None = None

    async def close(self) -> None:
        """Close the connections to registries; to be called when no transfer runs any more."""
        if self._registries is not None:
            await self._registries.close()

    async def pull(self, name: ModelName, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Bring a model into the store; one that is there is asked for as it is spelled. Raises: RegistryError."""
        name = await asyncio.to_thread(self._store.manifests.canonical, name)
        async with aclosing(self._pull(name, insecure=insecure)) as steps:
            async for step in steps:
                yield step

    async def _pull(self, name: ModelName, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        if self._builtin.is_meant_by(name):
            steps = iterate_in_thread(lambda: self._install(name))
        elif is_on_hub(name):
            steps = (await self._opened_hub()).pull(name, insecure=insecure)
        else:
            registries = await self._opened()
            from registry.pull import pull

            steps = pull(name, registries=registries, store=self._store, insecure=insecure, prune=self._prune)
        async with aclosing(steps):
            async for step in steps:
                yield step

    def pull_for_create(self, loop: asyncio.AbstractEventLoop) -> Callable[[ModelName], Iterator[CreateProgress]]:
        """For a thread that creates a model from one that is not here, as it is spelled; the pull runs on `loop`."""

        def pull(name: ModelName) -> Iterator[CreateProgress]:
            for step in iterate_on_loop(self._pull(name), loop):
                yield CreateProgress(step.status, step.digest, step.total, step.completed)

        return pull

    async def push(self, text: str, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Bring a model to its registry; `text` is the name as sent. Raises: TransferFailed, RegistryError."""
        try:
            name = ModelName.parse(text)
        except InvalidName as error:
            yield Progress("retrieving manifest")
            yield Progress("couldn't retrieve manifest")
            raise TransferFailed(f"unqualified name: {_full_form(text)}") from error
        registries = await self._opened()
        from registry.push import push

        try:
            async with aclosing(push(name, registries=registries, store=self._store, insecure=insecure)) as steps:
                async for step in steps:
                    yield step
        except ManifestNotFound as error:
            yield Progress("couldn't retrieve manifest")
            path = self._store.manifests.directory / name.path
            raise TransferFailed(f"open {path}: no such file or directory") from error

    def _install(self, name: ModelName) -> Iterator[Progress]:
        """The built-in model is here already; it comes as if it had been pulled."""
        yield Progress("pulling manifest")
        self._builtin.ensure(name)
        for layer in self._store.manifests.load(name).manifest.blobs:
            yield Progress(f"pulling {layer.digest.short}", str(layer.digest), layer.size_bytes, layer.size_bytes)
        yield Progress("verifying sha256 digest")
        yield Progress("writing manifest")
        yield Progress("success")

    async def _opened_hub(self) -> HubPull:
        """Anew for each pull: the access token may have been stored since the last."""
        registries = await self._opened()
        hub = await asyncio.to_thread(_open_hub, self._hub)
        return HubPull(hub, registries, self._store, self._library, prune=self._prune)

    async def _opened(self) -> Registries:
        if self._registries is None:
            await asyncio.to_thread(_import_transfers)
        if self._registries is None:  # still
            from registry.registries import Registries

            self._registries = Registries(
                self._store, self._home, version=VERSION, is_needed_elsewhere=self._is_needed_elsewhere
            )
        return self._registries


def _import_transfers() -> None:
    """It takes a while, during which other requests go on."""
    import registry.pull
    import registry.push  # noqa: F401  # to be found loaded by those who use it


def _open_hub(settings: HubSettings | None) -> Hub:
    """The first time this imports a lot."""
    from registry.hub.source import Hub, HubSettings

    return Hub(settings or HubSettings.of_user())


def _full_form(text: str) -> str:
    """An invalid name with the defaults filled in, as it is shown. # Compat: http-api 3, the row of push."""
    rest, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        rest, tag = text, "latest"
    defaults = ("registry.ollama.ai", "library")
    parts = rest.rsplit("/", 2)
    return "/".join((*defaults[: 3 - len(parts)], *parts)) + f":{tag}"
