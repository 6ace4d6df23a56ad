"""A place to create models in, and files that they are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from models.create.creation import create_model
from models.create.request import CreateRequest, Progress
from models.library import Library, ModelSpec
from registry.errors import ManifestNotFound
from registry.manifest import MediaType, ModelConfig, parse_config
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import f16, gguf_bytes, llama_bytes
from tests.fakes.model_store import add_model, put

LORA = gguf_bytes({"general.architecture": "llama", "general.type": "adapter"}, [f16("output.weight.lora_a", 4)])

ZEROS = f"sha256:{'0' * 64}"


@dataclass
class Workshop:
    """A store, and what creating in it said."""

    store: Store
    pulled: list[ModelName] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def upload(self, content: bytes) -> str:
        return str(self.store.blobs.put_bytes(content)[0])

    def create(self, name: str = "new", *, prune: bool = True, **fields: Any) -> list[str]:
        self.said = []
        request = CreateRequest(name, **fields)
        library = Library(self.store)
        for progress in create_model(request, library=library, store=self.store, pull=self.pull, prune=prune):
            self.said.append(progress.status)
        return self.said

    def pull(self, name: ModelName) -> Iterator[Progress]:
        self.pulled.append(name)
        yield Progress("pulling manifest")
        if name.model != "pullable":
            raise ManifestNotFound(name)
        add_model(self.store, name.full, [put(self.store, MediaType.MODEL, llama_bytes())])
        yield Progress("success")

    def spec(self, name: str = "new") -> ModelSpec:
        return Library(self.store).spec(ModelName.parse(name))

    def config(self, name: str = "new") -> ModelConfig:
        layer = self.store.manifests.load(ModelName.parse(name)).manifest.config
        assert layer is not None
        return parse_config(self.store.blobs.read_bytes(layer.digest))

    def layers(self, name: str = "new") -> list[tuple[str, str]]:
        """Kind and origin of each layer, in order."""
        manifest = self.store.manifests.load(ModelName.parse(name)).manifest
        return [(layer.kind.rpartition(".")[2], layer.from_name) for layer in manifest.layers]

    def text(self, kind: MediaType, name: str = "new") -> list[str]:
        manifest = self.store.manifests.load(ModelName.parse(name)).manifest
        return [self.store.blobs.read_bytes(layer.digest).decode() for layer in manifest.of_kind(kind)]
