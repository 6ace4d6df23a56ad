"""What a model consists of: the manifest with its layers, and the config blob that describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from registry.digest import Digest
from registry.errors import InvalidDigest, InvalidManifest
from registry.fields import Fields, decode_object
from registry.gojson import encode

MANIFEST_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MAX_MANIFEST_BYTES = 4 << 20
MAX_CONFIG_BYTES = 4 << 20


class MediaType(StrEnum):
    """What a layer's blob contains. A layer may have any other type: it is then kept and counted, but not looked at.

    # Compat: registry-store-cli 2.2.
    """

    CONFIG = "application/vnd.docker.container.image.v1+json"
    MODEL = "application/vnd.ollama.image.model"
    PROJECTOR = "application/vnd.ollama.image.projector"
    ADAPTER = "application/vnd.ollama.image.adapter"
    DRAFT = "application/vnd.ollama.image.draft"
    TEMPLATE = "application/vnd.ollama.image.template"
    PROMPT = "application/vnd.ollama.image.prompt"
    """What TEMPLATE was called before; `Layer.kind` reads it as TEMPLATE."""
    SYSTEM = "application/vnd.ollama.image.system"
    PARAMS = "application/vnd.ollama.image.params"
    MESSAGES = "application/vnd.ollama.image.messages"
    LICENSE = "application/vnd.ollama.image.license"
    EMBED = "application/vnd.ollama.image.embed"
    TENSOR = "application/vnd.ollama.image.tensor"
    JSON = "application/vnd.ollama.image.json"
    HUB_SOURCE = "application/vnd.puna.image.hub-source"
    """Which files of the Hugging Face Hub the model was made of: ours alone, others read over it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model; `from_name` is where it came from, `name` the tensor or file that it holds."""

    media_type: str
    digest: Digest
    size_bytes: int
    from_name: str = ""
    name: str = ""

    @property
    def kind(self) -> str:
        """The media type with the legacy alias of the template resolved."""
        return MediaType.TEMPLATE if self.media_type == MediaType.PROMPT else self.media_type


@dataclass(frozen=True, slots=True)
class Manifest:
    """Config and layers in stored order; a manifest written by others may lack the config."""

    config: Layer | None
    layers: tuple[Layer, ...]

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Layers, then the config: everything that is transferred, counted and kept alive."""
        return self.layers if self.config is None else (*self.layers, self.config)

    @property
    def digests(self) -> frozenset[Digest]:
        return frozenset(layer.digest for layer in self.blobs)

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes as written, a repeated layer counted each time.

        # Compat: registry-store-cli 2.5, `size`.
        """
        return sum(layer.size_bytes for layer in self.blobs)

    def of_kind(self, kind: MediaType) -> Iterator[Layer]:
        return (layer for layer in self.layers if layer.kind == kind)


def parse_manifest(raw: bytes) -> Manifest:
    """Read a manifest, with every digest checked.

    Raises: InvalidManifest.
    # Compat: registry-store-cli 2.2: unknown members and media types are allowed, `layers` may be null.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(f"manifest has {len(raw)} bytes, more than the {MAX_MANIFEST_BYTES} allowed")
    fields = decode_object(raw)
    config = fields.object("config")
    return Manifest(
        config=_parse_layer(config) if config is not None and config.text("digest") else None,
        layers=tuple(_parse_layer(layer) for layer in fields.objects("layers")),
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes to store, newline included: equal manifests give equal bytes, and so one digest.

    # Compat: registry-store-cli 2.2.
    """
    fields = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "config": _layer_fields(manifest.config),
        "layers": [_layer_fields(layer) for layer in manifest.layers] or None,
    }
    return encode(fields) + b"\n"


def _parse_layer(fields: Fields) -> Layer:
    try:
        digest = Digest.parse(fields.text("digest"))
    except InvalidDigest as error:
        raise InvalidManifest(f"{error}: {error.text!r}") from error
    size_bytes = fields.integer("size")
    if size_bytes < 0:
        raise InvalidManifest(f"layer {digest} has a negative size")
    return Layer(fields.text("mediaType"), digest, size_bytes, fields.text("from"), fields.text("name"))


def _layer_fields(layer: Layer | None) -> dict[str, object]:
    if layer is None:
        return {"mediaType": "", "digest": "", "size": 0}
    fields: dict[str, object] = {
        "mediaType": layer.media_type,
        "digest": str(layer.digest),
        "size": layer.size_bytes,
    }
    return fields | _without_empty({"from": layer.from_name, "name": layer.name})


@dataclass(frozen=True, slots=True)
class DraftConfig:
    """The model that a model's config names for speculative decoding; `config` is kept as found."""

    model_format: str = ""
    architecture: str = ""
    tensor_prefix: str = ""
    config: Any = None


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The config blob: what a model is, without opening its weights.

    `model_type` is the size in words (`7B`), `file_type` the quantisation. An empty `model_format` means GGUF.
    """

    model_format: str = ""
    model_family: str = ""
    model_families: tuple[str, ...] = ()
    model_type: str = ""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0
    base_name: str = ""
    draft: DraftConfig | None = None


def parse_config(raw: bytes) -> ModelConfig:
    """Read a config blob, those of older releases (with `rootfs`, without `architecture`) included.

    Raises: InvalidManifest.
    # Compat: registry-store-cli 2.3.
    """
    if len(raw) > MAX_CONFIG_BYTES:
        raise InvalidManifest(f"model config has {len(raw)} bytes, more than the {MAX_CONFIG_BYTES} allowed")
    fields = decode_object(raw)
    return ModelConfig(
        model_format=fields.text("model_format"),
        model_family=fields.text("model_family"),
        model_families=fields.texts("model_families"),
        model_type=fields.text("model_type"),
        file_type=fields.text("file_type"),
        renderer=fields.text("renderer"),
        parser=fields.text("parser"),
        requires=fields.text("requires"),
        remote_host=fields.text("remote_host"),
        remote_model=fields.text("remote_model"),
        capabilities=fields.texts("capabilities"),
        context_length=fields.integer("context_length"),
        embedding_length=fields.integer("embedding_length"),
        base_name=fields.text("base_name"),
        draft=_parse_draft(fields.object("draft")),
    )


def encode_config(config: ModelConfig) -> bytes:
    """The blob to store, newline included.

    # Compat: registry-store-cli 2.3: this order, `rootfs` no longer written, always amd64 and linux.
    """
    always = {
        "model_format": config.model_format,
        "model_family": config.model_family,
        "model_families": config.model_families or None,
        "model_type": config.model_type,
        "file_type": config.file_type,
    }
    optional = {
        "renderer": config.renderer,
        "parser": config.parser,
        "requires": config.requires,
        "remote_host": config.remote_host,
        "remote_model": config.remote_model,
        "capabilities": config.capabilities,
        "context_length": config.context_length,
        "embedding_length": config.embedding_length,
        "base_name": config.base_name,
        "draft": _draft_fields(config.draft),
    }
    return encode(always | _without_empty(optional) | {"architecture": "amd64", "os": "linux"}) + b"\n"


def _parse_draft(fields: Fields | None) -> DraftConfig | None:
    if fields is None:
        return None
    return DraftConfig(
        model_format=fields.text("model_format"),
        architecture=fields.text("architecture"),
        tensor_prefix=fields.text("tensor_prefix"),
        config=fields.value("config"),
    )


def _draft_fields(draft: DraftConfig | None) -> dict[str, object] | None:
    if draft is None:
        return None
    return _without_empty(
        {
            "model_format": draft.model_format,
            "architecture": draft.architecture,
            "tensor_prefix": draft.tensor_prefix,
            "config": draft.config,
        }
    )


def _without_empty(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value or isinstance(value, dict)}
