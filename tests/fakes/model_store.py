"""Models in a store, put there layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from registry.gojson import encode_sorted
from registry.manifest import Layer, Manifest, MediaType, ModelConfig, encode_config
from registry.names import ModelName
from registry.store import Store

GGUF_CONFIG = ModelConfig(
    model_format="gguf", model_family="llama", model_families=("llama",), model_type="8K", file_type="F16"
)


def put(store: Store, kind: str, content: bytes | str | dict[str, Any], from_name: str = "") -> Layer:
    """A layer whose blob is in the store."""
    if isinstance(content, dict):
        content = encode_sorted(content) + b"\n"
    raw = content.encode() if isinstance(content, str) else content
    digest, _ = store.blobs.put_bytes(raw)
    return Layer(kind, digest, len(raw), from_name)


def add_model(
    store: Store, name: str, layers: Iterable[Layer] = (), config: ModelConfig | None = GGUF_CONFIG
) -> ModelName:
    """A model of these layers."""
    parsed = ModelName.parse(name)
    described = None if config is None else put(store, MediaType.CONFIG, encode_config(config))
    store.replace_model(parsed, Manifest(described, tuple(layers)), prune=False)
    return parsed
