"""Another model as the base of a new one: its layers, and what its config hands on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace

from models.create.layers import NewLayer, read_blob
from models.create.request import Progress
from models.errors import CreateFailed
from models.library import Library
from registry.errors import BlobNotFound, InvalidManifest
from registry.manifest import MediaType, ModelConfig, parse_config
from registry.manifests import StoredManifest
from registry.names import ModelName
from registry.store import Store

Pull = Callable[[ModelName], Iterable[Progress]]
"""Fetch a model into the store, reporting; raises what went wrong."""


def stored_base(store: Store, name: ModelName, pull: Pull) -> Generator[Progress, None, StoredManifest]:
    """The model to build on, pulled if it is not there.

    Raises: what `pull` raises; ManifestNotFound, CorruptManifest.
    # Compat: registry-store-cli 6.3: it is looked up in exactly this spelling, unlike everywhere else, and the pull's
    # own `success` is passed on.
    """
    if store.manifests.resolve(name) != name:
        yield from pull(name)
    return store.manifests.load(name)


def inherited_layers(store: Store, library: Library, base: StoredManifest) -> Iterator[NewLayer]:
    """The layers of the base, each saying where it came from. Raises: BlobMissing, InvalidGGUF."""
    for layer in base.manifest.layers:
        with contextlib.suppress(BlobNotFound):  # perhaps it is not needed; what is needed is checked when it is stored
            store.blobs.touch(layer.digest)  # from here on the lease holds it, even if the base is deleted meanwhile
        is_weights = layer.kind == MediaType.MODEL
        gguf = library.head(store.blobs.path(layer.digest)) if is_weights else None
        yield NewLayer.inherited(layer, base.name.display, gguf)


def inherit_config(store: Store, config: ModelConfig, base: StoredManifest) -> ModelConfig:
    """The config with what the base hands on.

    # Compat: registry-store-cli 6.3: renderer, parser and requirement unless given, format and capabilities always.
    """
    if base.manifest.config is None:
        return config
    try:
        handed = parse_config(read_blob(store, base.manifest.config.digest))
    except InvalidManifest as error:
        raise CreateFailed(error.reason) from error
    return replace(
        config,
        renderer=config.renderer or handed.renderer,
        parser=config.parser or handed.parser,
        requires=config.requires or handed.requires,
        model_format=handed.model_format,
        capabilities=handed.capabilities,
    )
