"""Weights from files that the client uploaded: what kind each is, and what layer it becomes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping
from typing import Final

from models.create.convert.conversion import converted_adapter, converted_layers
from models.create.known_templates import detect_template
from models.create.layers import NewLayer
from models.create.merge import merge_shards, with_projector_type
from models.create.request import Progress
from models.create.split import Shard, group_shards, shard_of
from models.errors import BlobMissing, CreateFailed, CreateRefused
from models.gguf.reader import is_gguf
from models.gguf.values import GGUF
from models.library import Library
from registry.digest import Digest
from registry.errors import BlobNotFound, InvalidDigest
from registry.manifest import MediaType
from registry.store import Store

MAGIC_BYTES: Final = 4


def layers_of_files(
    store: Store, library: Library, files: Mapping[str, str], name: str = "model"
) -> Generator[Progress, None, list[NewLayer]]:
    """The layers of uploaded files, by name.

    `name`: what the model will be called.
    Raises: CreateRefused for files that are of no use here; CreateFailed; BlobMissing; InvalidGGUF.
    # Compat: registry-store-cli 6.3.
    """
    match _kind_of_upload(store, files):
        case "gguf":
            layers = yield from _gguf_layers(store, library, files)
        case "safetensors":
            layers = yield from converted_layers(store, library, files, name)
        case _:
            raise CreateRefused("unknown type")
    return layers


def adapter_layers(
    store: Store, library: Library, files: Mapping[str, str], base: Iterable[NewLayer] = ()
) -> Generator[Progress, None, list[NewLayer]]:
    """As `layers_of_files`, for the one adapter that there may be; `base`: the layers of the model that it is for."""
    match _kind_of_upload(store, files):
        case "gguf" if len(files) > 1:
            raise CreateRefused("only one adapter is currently supported")
        case "safetensors":
            model = next((layer for layer in base if layer.kind == MediaType.MODEL), None)
            if model is None or not isinstance(model.content, Digest):
                raise CreateRefused("no base model was found")
            path = store.blobs.path(model.content)
            return (yield from converted_adapter(store, library, files, base=path))
        case _:
            return (yield from layers_of_files(store, library, files))


def template_layers(layers: list[NewLayer]) -> list[NewLayer]:
    """Template and stop strings for weights whose Jinja template is a known one."""
    found: list[NewLayer] = []
    for layer in layers:
        text = layer.gguf.text("tokenizer.chat_template") if layer.gguf else None
        known = detect_template(text) if text else None
        if known is not None:
            found.append(
                NewLayer.of_text(
                    MediaType.TEMPLATE, known.template.encode(), f"using autodetected template {known.name}"
                )
            )
            found.append(NewLayer.of_text(MediaType.PARAMS, known.parameters_blob))
    return found


def _kind_of_upload(store: Store, files: Mapping[str, str]) -> str:
    """What the files are by their names, and by content where no name tells."""
    if any(name.endswith(".safetensors") for name in files):
        return "safetensors"
    if any(name.endswith(".gguf") for name in files):
        return "gguf"
    return "gguf" if any(_has_magic(store, digest) for digest in files.values()) else ""


def _has_magic(store: Store, digest: str) -> bool:
    try:
        return is_gguf(_head(store, Digest.parse(digest)))
    except (BlobMissing, InvalidDigest):
        return False


def _head(store: Store, digest: Digest) -> bytes:
    path = store.blobs.path(digest)
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_BYTES)
    except OSError as error:
        raise BlobMissing(path) from error


# ---- GGUF


def _gguf_layers(store: Store, library: Library, files: Mapping[str, str]) -> Generator[Progress, None, list[NewLayer]]:
    layers: list[NewLayer] = []
    shards: list[Shard] = []
    for name in sorted(files):
        yield Progress("parsing GGUF")
        layer = _read_upload(store, library, name, files[name])
        shard = shard_of(name, layer)
        if shard is not None:
            shards.append(shard)
        else:
            layers.append((yield from _with_missing_keys(store, library, layer)))
    for group in group_shards(shards):
        merged = yield from merge_shards(store, library, group)
        layers.append(merged)
    return layers


def _read_upload(store: Store, library: Library, name: str, digest_text: str) -> NewLayer:
    try:
        digest = Digest.parse(digest_text)
    except InvalidDigest as error:
        raise CreateFailed(str(error)) from error
    with contextlib.suppress(BlobNotFound):  # the next line says so
        store.blobs.touch(digest)  # from here on the lease of the creation holds it
    if not is_gguf(_head(store, digest)):
        raise CreateRefused("supplied file was not in GGUF format")
    gguf = library.head(store.blobs.path(digest))
    return NewLayer(layer_kind(gguf), digest, gguf.size_bytes, name, gguf=gguf, is_upload=True)


def layer_kind(gguf: GGUF) -> MediaType:
    """What a file is for.

    # Compat: registry-store-cli 6.3, the first rule that matches.
    """
    kind, n_blocks = gguf.text("general.type"), gguf.uint32("block_count") or 0
    if kind == "adapter":
        return MediaType.ADAPTER
    if kind in ("projector", "mmproj") or (not n_blocks and (gguf.uint32("vision.block_count") or 0) > 0):
        return MediaType.PROJECTOR
    has_encoder = gguf.flag("has_vision_encoder") or gguf.flag("has_audio_encoder")
    is_encoder = gguf.architecture == "clip" and not n_blocks and has_encoder
    return MediaType.PROJECTOR if is_encoder else MediaType.MODEL


def _with_missing_keys(store: Store, library: Library, layer: NewLayer) -> Generator[Progress, None, NewLayer]:
    gguf = layer.gguf
    assert gguf is not None, "an upload has been read"
    is_old = gguf.architecture == "clip" and gguf.flag("has_vision_encoder")
    if layer.kind != MediaType.PROJECTOR or not is_old or _names_its_type(gguf):
        return layer
    yield Progress("updating GGUF projector metadata")
    return (yield from with_projector_type(store, library, layer))


def _names_its_type(gguf: GGUF) -> bool:
    return gguf.has("projector_type") or gguf.has("vision.projector_type")
