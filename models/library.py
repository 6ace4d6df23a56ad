"""The models in the store: what each is made of, read once per manifest.

Manifests are named by the digest of their bytes and blobs never change, so what was derived from a manifest stays
true. Only what the derived values do not hold, the presence of the files, is looked at each time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from models.capabilities import (
    Capability,
    ChatTemplate,
    GoTemplate,
    ProjectorFacts,
    PromptSource,
    choose_prompt_source,
    list_capabilities,
    show_capabilities,
)
from models.errors import BlobMissing, InvalidGGUF, InvalidLayer, ModelError, WeightsMissing
from models.gguf.facts import GGUFFacts, facts_of
from models.gguf.glance import Glance, glance
from models.gguf.names import UNKNOWN
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF
from models.layer_text import parse_messages, parse_parameters
from registry.errors import BlobNotFound, InvalidManifest, RegistryError
from registry.manifest import Layer, MediaType, ModelConfig, parse_config
from registry.manifests import StoredManifest
from registry.names import ModelName
from registry.store import Store

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_TEXT_BYTES: Final = 64 * 1024 * 1024
"""Largest template, prompt, license, list of messages or set of parameters that is read."""

MAX_SPECS, MAX_HEADS = 128, 16
"""How many models' specs, and how many files' metadata, are kept."""

MAX_KEPT_HEAD_BYTES: Final = 64 * 1024 * 1024
"""Files with more before their tensors are read anew each time; real ones have a tenth."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that generation and show need of one model.

    `name` is the stored spelling. `weights` is None for a model without: the stub of a remote one. `template` is the
    TEMPLATE layer, `chat_template` the file's Jinja text. `parameters` are as stored, their types unchecked.
    `capabilities` are in the order of show.
    """

    name: ModelName
    manifest_digest: str
    modified_ns: int
    config: ModelConfig
    weights: Path | None = None
    projectors: tuple[Path, ...] = ()
    adapters: tuple[Path, ...] = ()
    draft: Path | None = None
    template: str | None = None
    chat_template: str | None = None
    prompt_source: PromptSource = PromptSource.CHAT_TEMPLATE
    system: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    messages: tuple[dict[str, Any], ...] = ()
    licenses: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    facts: GGUFFacts = field(default_factory=GGUFFacts)
    parent_model: str = ""
    size_bytes: int = 0
    """All layers and the config, as the manifest counts them."""

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """The `details` of a model; lengths are 0 where they are not told."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int = 0
    embedding_length: int = 0


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One entry of `/api/tags`. `digest` is that of the manifest, in hex."""

    name: ModelName
    modified_ns: int
    size_bytes: int
    digest: str
    details: ModelDetails
    capabilities: tuple[str, ...]
    remote_model: str = ""
    remote_host: str = ""


class Library:
    """Names to models. All methods read files: call them in a thread.

    `go_templates` is the setting OLLAMA_GO_TEMPLATE, None when it is not set.
    """

    def __init__(self, store: Store, *, go_templates: bool | None = None) -> None:
        self._store = store
        self._go_templates = go_templates
        self._specs: _Recent[ModelSpec] = _Recent(MAX_SPECS)
        self._heads: _Recent[GGUF] = _Recent(MAX_HEADS)
        self._listing = threading.Lock()
        self._summaries: dict[str, ModelSummary] = {}
        self._reported: set[str] = set()

    def spec(self, name: ModelName) -> ModelSpec:
        """The model of this name, in any case.

        Raises: ManifestNotFound, CorruptManifest; WeightsMissing or BlobMissing if a file of it is gone; InvalidGGUF,
        InvalidLayer, TemplateError if one cannot be read.
        """
        stored = self._store.manifests.load(name)
        spec = self._specs.get_or_add(stored.digest_hex, lambda: self._build(stored))
        for path in (spec.weights, *spec.projectors, *spec.adapters):
            if path is not None and not path.is_file():
                raise (WeightsMissing if path == spec.weights else BlobMissing)(path)
        return replace(spec, name=stored.name, modified_ns=stored.modified_ns)

    def head(self, path: Path) -> GGUF:
        """Metadata and tensors of a blob, long arrays skipped. Raises: BlobMissing, InvalidGGUF."""
        return self._heads.get_or_add(path.name, lambda: read_head(path), keep=_has_usual_size)

    def list_models(self) -> list[ModelSummary]:
        """All models, the newest first; those that cannot be read are left out with a line in the log."""
        with self._listing:  # who asks at the same time waits for what the first one reads
            stored = self._store.manifests.list()
            known = {m.digest_hex for m in stored}
            self._summaries = {digest: summary for digest, summary in self._summaries.items() if digest in known}
            self._reported &= known
            return [summary for m in stored if (summary := self._summary(m)) is not None]

    # ---- spec

    def _build(self, stored: StoredManifest) -> ModelSpec:
        layers = _Layers(self._store, stored.manifest.layers)
        config = self._config(stored)
        weights = layers.last_path(MediaType.MODEL)
        facts = self._facts(weights) if weights else None
        projectors = layers.paths(MediaType.PROJECTOR)
        template = layers.text(MediaType.TEMPLATE)
        go = GoTemplate.parse(template) if template is not None else None
        chat = ChatTemplate(facts.chat_template) if facts and facts.chat_template else None
        source = choose_prompt_source(config, go, chat, go_templates=self._go_templates)
        return ModelSpec(
            name=stored.name,
            manifest_digest=stored.digest_hex,
            modified_ns=stored.modified_ns,
            config=config,
            weights=weights,
            projectors=projectors,
            adapters=layers.paths(MediaType.ADAPTER),
            draft=layers.last_path(MediaType.DRAFT),
            template=template,
            chat_template=chat.text if chat else None,
            prompt_source=source,
            system=layers.text(MediaType.SYSTEM) or "",
            parameters=layers.parameters(),
            messages=layers.messages(),
            licenses=layers.texts(MediaType.LICENSE),
            capabilities=show_capabilities(config, facts, map(self._projector, projectors), source, go, chat),
            facts=facts or GGUFFacts(),
            parent_model=layers.parent(),
            size_bytes=stored.manifest.size_bytes,
        )

    def _config(self, stored: StoredManifest) -> ModelConfig:
        config = stored.manifest.config
        if config is None:
            return ModelConfig()
        try:
            return parse_config(_read(self._store, config))
        except InvalidManifest as error:
            raise InvalidLayer(MediaType.CONFIG, error.reason) from error

    def _facts(self, weights: Path) -> GGUFFacts:
        try:
            with translated(weights):
                return facts_of(self.head(weights), weights)
        except BlobMissing as error:
            raise WeightsMissing(weights) from error

    def _projector(self, path: Path) -> ProjectorFacts:
        gguf = self.head(path)
        return ProjectorFacts(bool(gguf.flag("has_audio_encoder")), gguf.text("vision.projector_type") or "")

    # ---- summaries

    def _summary(self, stored: StoredManifest) -> ModelSummary | None:
        summary = self._summaries.get(stored.digest_hex)
        if summary is not None:
            return replace(summary, name=stored.name, modified_ns=stored.modified_ns)
        try:
            summary, is_complete = self._summarize(stored)
        except (ModelError, RegistryError) as error:
            # Compat: registry-store-cli 2.5: such a model is dropped from the list, and only from there.
            if stored.digest_hex not in self._reported:
                logger.warning("%s is not listed: %s", stored.name.display, error)
            self._reported.add(stored.digest_hex)
            return None
        if is_complete:
            self._summaries[stored.digest_hex] = summary
        return summary

    def _summarize(self, stored: StoredManifest) -> tuple[ModelSummary, bool]:
        """The entry of a model, and whether nothing is missing that could come back."""
        layers, config = _Layers(self._store, stored.manifest.layers), self._config(stored)
        template = layers.text(MediaType.TEMPLATE)
        go = GoTemplate.parse(template) if template is not None else None
        weights = layers.last_path(MediaType.MODEL)
        seen = _glance(weights) if weights else Glance()
        details = replace(
            details_of(config, layers.parent(), seen.file_type),
            context_length=config.context_length or seen.context_length,
            embedding_length=config.embedding_length or seen.embedding_length,
        )
        has_projector = any(True for _ in stored.manifest.of_kind(MediaType.PROJECTOR))
        summary = ModelSummary(
            name=stored.name,
            modified_ns=stored.modified_ns,
            size_bytes=stored.manifest.size_bytes,
            digest=stored.digest_hex,
            details=details,
            capabilities=list_capabilities(config, seen, go, has_projector=has_projector),
            remote_model=config.remote_model,
            remote_host=config.remote_host,
        )
        return summary, weights is None or seen.is_readable


def details_of(config: ModelConfig, parent_model: str, file_type: str) -> ModelDetails:
    """The details that the config tells; `file_type` is what the weights say, used where the config does not know."""
    level = config.file_type
    if level in ("", UNKNOWN) and file_type not in ("", UNKNOWN):
        level = file_type
    return ModelDetails(
        parent_model=parent_model,
        format=config.model_format,
        family=config.model_family,
        families=config.model_families,
        parameter_size=config.model_type,
        quantization_level=level,
    )


def _has_usual_size(head: GGUF) -> bool:
    return head.data_offset <= MAX_KEPT_HEAD_BYTES


def read_head(path: Path) -> GGUF:
    """Metadata and tensors of a blob, long arrays skipped. Raises: BlobMissing, InvalidGGUF."""
    with translated(path):
        return read_gguf(path)


def _glance(weights: Path) -> Glance:
    try:
        with translated(weights):
            return glance(weights)
    except ModelError as error:
        logger.info("%s tells nothing: %s", weights.name, error)
        return Glance()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the system says about a blob, as BlobMissing or InvalidGGUF."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(path) from error
    except OSError as error:
        raise InvalidGGUF(f"open {path}: {error.strerror}") from error


# --------------------------------------------------------------------------------------------------------------------
# Layers


class _Layers:
    """The layers of one manifest, by what they hold. Of a kind that should be there once, the last one counts."""

    def __init__(self, store: Store, layers: Iterable[Layer]) -> None:
        self._store = store
        self._layers = tuple(layers)

    def _of(self, kind: MediaType) -> list[Layer]:
        return [layer for layer in self._layers if layer.kind == kind]

    def paths(self, kind: MediaType) -> tuple[Path, ...]:
        return tuple(self._store.blobs.path(layer.digest) for layer in self._of(kind))

    def last_path(self, kind: MediaType) -> Path | None:
        return (self.paths(kind) or (None,))[-1]

    def texts(self, kind: MediaType) -> tuple[str, ...]:
        return tuple(_read(self._store, layer).decode("utf-8", "replace") for layer in self._of(kind))

    def text(self, kind: MediaType) -> str | None:
        return (self.texts(kind) or (None,))[-1]

    def parent(self) -> str:
        """The model or file that the weights came from."""
        models = self._of(MediaType.MODEL)
        return models[-1].from_name if models else ""

    def parameters(self) -> dict[str, Any]:
        together: dict[str, Any] = {}
        for text in self.texts(MediaType.PARAMS):
            together |= parse_parameters(text)
        return together

    def messages(self) -> tuple[dict[str, Any], ...]:
        text = self.text(MediaType.MESSAGES)
        return () if text is None else parse_messages(text)


def _read(store: Store, layer: Layer) -> bytes:
    try:
        return store.blobs.read_bytes(layer.digest, MAX_TEXT_BYTES)
    except BlobNotFound as error:
        raise BlobMissing(store.blobs.path(layer.digest)) from error


class _Recent(Generic[T]):
    """The values used last, by digest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get_or_add(self, key: str, make: Callable[[], T], keep: Callable[[T], bool] = lambda _: True) -> T:
        """The value of this key, made outside the lock when it is not there, and kept if it may be."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        if not keep(value):
            return value
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
        return value
