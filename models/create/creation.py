"""Create a model: collect its layers, describe it, write it under its name."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from models.create.base import Pull, inherit_config, inherited_layers, stored_base
from models.create.config import apply_info, apply_weights, preset_parameters
from models.create.layers import NewLayer, store_layer, without
from models.create.remote import CLOUD_URL, remote_url
from models.create.request import CreateRequest, Progress, check_request
from models.create.texts import add_texts
from models.create.uploads import adapter_layers, layers_of_files, template_layers
from models.errors import BlobMissing, CreateFailed, CreateRefused, InvalidGGUF, UnsupportedQuantization
from models.gguf.names import quantization_level
from models.gguf.values import GGUF
from models.library import Library
from registry.errors import ConflictingSource, InvalidName
from registry.manifest import DraftConfig, Manifest, MediaType, ModelConfig, encode_config
from registry.names import ModelName, Source, parse_source
from registry.store import Store

QUANTIZATIONS: Final = {name: name for name in ("F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M")} | {"Q4_K": "Q4_K_M"}
"""What can be asked for, and what it means."""

UNQUANTIZED: Final = ("F16", "BF16", "F32")
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
        base = yield from _collect(store, library, request, pull)
        config = apply_info(base.config, request.info)
        layers = yield from _checked(base.layers, request)
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


def _collect(store: Store, library: Library, request: CreateRequest, pull: Pull) -> Generator[Progress, None, _Base]:
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
        layers = yield from layers_of_files(store, library, request.files)
        layers += template_layers(layers)
    else:
        raise CreateRefused("neither 'from' or 'files' was specified")
    if request.adapters:
        with _refused():
            layers += yield from adapter_layers(store, library, request.adapters)
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


def _checked(layers: Sequence[NewLayer], request: CreateRequest) -> Generator[Progress, None, list[NewLayer]]:
    """The layers with their weights as the request wants them."""
    found: list[NewLayer] = []
    for layer in layers:
        if layer.kind == MediaType.MODEL and layer.gguf is not None:
            check_quantization(layer.gguf, request.quantize)
            if layer.is_upload and not _is_multimodal(layer.gguf):
                # Compat: Ollama passes such a file through its own copy here, which no longer knows the file's name.
                # Our reader has already checked each of its tensors, and the bytes stay as they are.
                yield Progress("verifying conversion")
                layer = layer.renamed("")
        elif layer.kind == MediaType.DRAFT and layer.gguf is not None and layer.is_upload:
            check_draft_quantization(layer.gguf, request.draft_quantize)
        found.append(layer)
    return found


def _is_multimodal(gguf: GGUF) -> bool:
    return any(tensor.name.startswith(MULTIMODAL_PREFIXES) for tensor in gguf.tensors or ())


def check_quantization(gguf: GGUF, wanted: str) -> None:
    """Whether weights are of the type that is asked for; empty asks for nothing.

    Raises: UnsupportedQuantization, CreateFailed.
    # Compat: registry-store-cli 6.4: a file of type 0 reads as unknown and is refused.
    """
    if not wanted:
        return
    target, actual = quantization_target(wanted), quantization_level(gguf.uint32("general.file_type"))
    if actual not in UNQUANTIZED:
        raise CreateFailed("quantization is only supported for F16, BF16 and F32 models")
    if actual != target:
        raise CreateFailed(f"this version cannot quantize: the model is {actual}, {target} was asked for")


def check_draft_quantization(gguf: GGUF, wanted: str) -> None:
    """As `check_quantization`, for a draft."""
    actual = quantization_level(gguf.uint32("general.file_type"))
    if wanted and quantization_target(wanted) and actual not in UNQUANTIZED:
        raise CreateFailed(f"draft quantization requires an unquantized draft model, got {actual}")
    check_quantization(gguf, wanted)


def quantization_target(wanted: str) -> str:
    """The type that a client's spelling means. Raises: UnsupportedQuantization."""
    name = wanted.upper()
    if name not in QUANTIZATIONS:
        raise UnsupportedQuantization(name)
    return QUANTIZATIONS[name]
