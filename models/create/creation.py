"""Create a model: collect its layers, describe it, write it under its name."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models.create.base import Pull, inherit_config, inherited_layers, stored_base
from models.create.config import apply_info, apply_weights, preset_parameters
from models.create.layers import NewLayer, store_layer, without
from models.create.quantization import Quantization, plan_draft_quantization, plan_quantization
from models.create.quantizing import quantized
from models.create.remote import CLOUD_URL, remote_url
from models.create.request import CreateRequest, Progress, check_request
from models.create.texts import add_texts
from models.create.uploads import adapter_layers, layers_of_files, template_layers
from models.errors import BlobMissing, CreateFailed, CreateRefused, InvalidGGUF
from models.gguf.values import GGUF
from models.library import Library
from registry.digest import Digest
from registry.errors import BlobNotFound, ConflictingSource, InvalidDigest, InvalidName
from registry.manifest import DraftConfig, Manifest, MediaType, ModelConfig, encode_config
from registry.names import ModelName, Source, parse_source
from registry.store import Store

MULTIMODAL_PREFIXES: Final = ("a.", "mm.", "mtp.", "s.", "v.")
"""Tensors of encoders and heads: a file with such is kept as it came."""


def create_model(
    request: CreateRequest, *, library: Library, store: Store, pull: Pull, prune: bool = True
) -> Iterator[Progress]:
    """Make a model and report on it; nothing is visible under its name before the last step.

    Blocks, so run it in a thread; closing the iterator abandons the work. `prune`: remove what only the model that is
    replaced had.
    Raises, before the first report or later: InvalidName; CreateRefused, CreateFailed; BlobMissing; InvalidGGUF;
    InvalidLayer; what `pull` raises; StoreUnusable.
    # Compat: registry-store-cli 6.2 to 6.5, in the order of the statuses there.
    """
    name = check_request(request)
    with store.lease() as lease:
        base = yield from _collect(store, library, request, pull, name.model)
        config = apply_info(base.config, request.info)
        layers = yield from _weights(store, library, base.layers, request)
        parameters = preset_parameters(config, layers, request)
        config = apply_weights(config, layers)
        layers = add_texts(store, layers, replace(request, parameters=parameters))
        stored = [store_layer(store, layer) for layer in layers]
        config_layer = NewLayer.of_text(MediaType.CONFIG, encode_config(config))
        written, _ = store_layer(store, config_layer)
        yield from (Progress(text) for _, text in stored)
        yield Progress("writing manifest")
        store.replace_model(name, Manifest(written, tuple(layer for layer, _ in stored)), prune=prune, lease=lease)
    yield Progress("success")


@dataclass(frozen=True, slots=True)
class _Base:
    """What a model is made from."""

    layers: Sequence[NewLayer]
    config: ModelConfig


def _collect(
    store: Store, library: Library, request: CreateRequest, pull: Pull, name: str
) -> Generator[Progress, None, _Base]:
    config = ModelConfig(renderer=request.renderer, parser=request.parser, requires=request.requires)
    if request.from_name:
        source = _parse_from(request)
        if source.remote_host:
            if request.draft_files:
                raise CreateRefused("DRAFT cannot be used with remote models")
            return _Base((), replace(config, remote_host=source.remote_host, remote_model=source.base))
        stored = yield from stored_base(store, source.name, pull)
        config = inherit_config(store, config, stored)
        layers = list(inherited_layers(store, library, stored))
    elif request.files is not None:
        layers = yield from layers_of_files(store, library, request.files, name)
        layers += template_layers(layers)
    else:
        raise CreateRefused("neither 'from' or 'files' was specified")
    if request.adapters:
        with _refused():
            layers += yield from adapter_layers(store, library, request.adapters, layers)
    if request.draft_files:
        with _refused():
            drafts = yield from _drafts(store, library, request)
        layers = [*without(layers, MediaType.DRAFT), *drafts]
        config = replace(config, draft=_draft_config(drafts))
    return _Base(layers, config)


@dataclass(frozen=True, slots=True)
class _From:
    """The base that a request names; with `remote_host` it runs there and `base` is its name there."""

    name: ModelName
    base: str
    remote_host: str


def _parse_from(request: CreateRequest) -> _From:
    try:
        base, source = parse_source(request.from_name)
        name = ModelName.parse(base)
    except (InvalidName, ConflictingSource) as error:
        raise CreateRefused("invalid model name") from error
    host = request.remote_host or (CLOUD_URL if source is Source.CLOUD else "")
    return _From(name, base, remote_url(host) if host else "")


def _drafts(store: Store, library: Library, request: CreateRequest) -> Generator[Progress, None, list[NewLayer]]:
    """The model for speculative decoding that the request brings."""
    layers = yield from layers_of_files(store, library, request.draft_files)
    return [replace(layer, kind=MediaType.DRAFT) for layer in layers]


def _draft_config(drafts: Sequence[NewLayer]) -> DraftConfig:
    architecture = next((layer.gguf.architecture for layer in drafts if layer.gguf), "")
    return DraftConfig(model_format="gguf", architecture=architecture)


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """Whatever is wrong with adapters and drafts is the client's fault.

    # Compat: registry-store-cli 6.2, point 6.
    """
    try:
        yield
    except (CreateFailed, InvalidGGUF, BlobMissing) as error:
        raise CreateRefused(str(error)) from error


# --------------------------------------------------------------------------------------------------------------------
# Weights


def _weights(
    store: Store, library: Library, layers: Sequence[NewLayer], request: CreateRequest
) -> Generator[Progress, None, list[NewLayer]]:
    """The layers with their weights as the request wants them."""
    importance = _importance(store, request)
    found: list[NewLayer] = []
    for layer in layers:
        plan = _plan(layer, request)
        if plan is not None:
            layer = yield from quantized(store, library, layer, plan, importance)
        elif layer.kind == MediaType.MODEL and layer.is_upload and layer.gguf and not _is_multimodal(layer.gguf):
            # Compat: Ollama passes such a file through its own copy here, which no longer knows the file's name.
            # Our reader has already checked each of its tensors, and the bytes stay as they are.
            yield Progress("verifying conversion")
            layer = layer.renamed("")
        found.append(layer)
    return found


def _plan(layer: NewLayer, request: CreateRequest) -> Quantization | None:
    if layer.gguf is None:
        return None
    if layer.kind == MediaType.MODEL:
        return plan_quantization(layer.gguf, request.quantize or layer.quantize)
    if layer.kind == MediaType.DRAFT and layer.is_upload:
        return plan_draft_quantization(layer.gguf, request.draft_quantize)
    return None


def _importance(store: Store, request: CreateRequest) -> Path | None:
    """The file of the importance matrix. Raises: CreateRefused, BlobMissing."""
    if not request.imatrix:
        return None
    if len(request.imatrix) > 1:
        raise CreateRefused("only one importance matrix can be used")
    (text,) = request.imatrix.values()
    try:
        digest = Digest.parse(text)
        store.blobs.touch(digest)
    except InvalidDigest as error:
        raise CreateFailed(str(error)) from error
    except BlobNotFound as error:
        raise BlobMissing(store.blobs.path(digest)) from error
    return store.blobs.path(digest)


def _is_multimodal(gguf: GGUF) -> bool:
    return any(tensor.name.startswith(MULTIMODAL_PREFIXES) for tensor in gguf.tensors or ())
