"""Puts the built-in model into a store, where it is then a model like any other: listed, shown, copied, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.gguf.names import human_number, quantization_level
from models.gguf.reader import read_gguf
from registry.digest import Digest
from registry.errors import InvalidManifest, ManifestNotFound
from registry.gojson import encode
from registry.manifest import Layer, Manifest, MediaType, ModelConfig, encode_config, encode_manifest
from registry.names import ModelName
from registry.store import Store

NAME: Final = ModelName.parse("pico")
WEIGHTS: Final = Path(__file__).with_name("pico.gguf")
DIGEST: Final = Digest.parse("sha256:dcbd9073d1c1417f54f234b09b92917dd7734fcf77ac3c57c365087ca4caa13e")
"""Of the weights: a package whose file is damaged fails instead of installing it."""

LICENCE: Final = Path(__file__).with_name("licence.txt")
PARAMETERS: Final = {"stop": ["<|im_start|>", "<|im_end|>"]}


def install(store: Store) -> ModelName:
    """Write the built-in model, or leave it if it is there already; returns the spelling it is stored under.

    Blocks. A model of another content under the same name is replaced. Nobody sees a part of it: the manifest is
    written when every blob is there.
    Raises: DigestMismatch when the packaged file is damaged; StoreUnusable.
    """
    with store.lease() as lease:
        manifest = Manifest(
            _store_text(store, MediaType.CONFIG, encode_config(describe())),
            (
                _store_weights(store),
                _store_text(store, MediaType.LICENSE, LICENCE.read_bytes()),
                _store_text(store, MediaType.PARAMS, encode(PARAMETERS) + b"\n"),
            ),
        )
        raw = encode_manifest(manifest)
        stored = store.manifests.resolve(NAME)
        if stored is not None and _raw_manifest(store, stored) == raw:
            return stored
        return store.replace_model(NAME, raw, lease=lease).name


def describe() -> ModelConfig:
    """The config of the model, from what its file says of itself."""
    gguf = read_gguf(WEIGHTS)
    return ModelConfig(
        model_format="gguf",
        model_family=gguf.architecture,
        model_families=(gguf.architecture,),
        model_type=human_number(gguf.parameter_count),
        file_type=quantization_level(gguf.uint32("general.file_type")),
    )


def _store_text(store: Store, kind: MediaType, content: bytes) -> Layer:
    digest, _ = store.blobs.put_bytes(content)
    return Layer(kind, digest, len(content))


def _store_weights(store: Store) -> Layer:
    content = WEIGHTS.read_bytes()
    with store.blobs.writer(DIGEST, len(content)) as blob:
        blob.write(content)
        blob.commit()
    return Layer(MediaType.MODEL, DIGEST, len(content))


def _raw_manifest(store: Store, name: ModelName) -> bytes | None:
    """None for a manifest that cannot be read, which is then to be replaced."""
    try:
        return store.manifests.load(name).raw
    except (InvalidManifest, ManifestNotFound):
        return None
