"""Moving models between this store and registries.

TODO when registry.pull and registry.push exist: call them here. Until then only the built-in model can be pulled.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.create.request import Progress
from registry.errors import InvalidName, ManifestNotFound
from registry.names import ModelName
from registry.store import Store
from server.builtin import Builtin
from server.errors import TransferFailed

NO_PULL = "pull model manifest: this version cannot pull from a registry yet; the built-in model is called pico"
NO_PUSH = "this version cannot push to a registry yet"


class Transfers:
    """Pull and push for routes, as blocking generators of progress."""

    def __init__(self, store: Store, builtin: Builtin) -> None:
        self._store = store
        self._builtin = builtin

    def pull(self, name: ModelName) -> Iterator[Progress]:
        """Bring a model into the store. Raises: TransferFailed."""
        yield Progress("pulling manifest")
        if not self._builtin.is_meant_by(name):
            raise TransferFailed(NO_PULL)
        self._builtin.ensure(name)
        manifest = self._store.manifests.load(name).manifest
        for layer in manifest.blobs:
            digest = str(layer.digest)
            yield Progress(f"pulling {layer.digest.short}", digest, layer.size_bytes, layer.size_bytes)
        yield Progress("verifying sha256 digest")
        yield Progress("writing manifest")
        yield Progress("success")

    def push(self, text: str) -> Iterator[Progress]:
        """Bring a model to its registry; `text` is the name as sent. Raises: TransferFailed."""
        yield Progress("retrieving manifest")
        try:
            name = ModelName.parse(text)
            self._store.manifests.load(name)
        except InvalidName as error:
            yield Progress("couldn't retrieve manifest")
            raise TransferFailed(f"unqualified name: {_full_form(text)}") from error
        except ManifestNotFound as error:
            yield Progress("couldn't retrieve manifest")
            path = self._store.manifests.directory / name.path
            raise TransferFailed(f"open {path}: no such file or directory") from error
        raise TransferFailed(NO_PUSH)


def _full_form(text: str) -> str:
    """An invalid name with the defaults filled in, as it is shown. # Compat: http-api 3, the row of push."""
    rest, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        rest, tag = text, "latest"
    defaults = ("registry.ollama.ai", "library")
    parts = rest.rsplit("/", 2)
    return "/".join((*defaults[: 3 - len(parts)], *parts)) + f":{tag}"
