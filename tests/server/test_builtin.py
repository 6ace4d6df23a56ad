"""The built-in model comes into the store with the first use of its name, and not before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from models.library import Library
from registry.errors import ManifestNotFound
from registry.manifest import Layer, Manifest, MediaType, ModelConfig, encode_config
from registry.names import ModelName
from registry.store import Store
from server.builtin import BUILTIN_NAME, Builtin
from server.transfers import Transfers


class Case:
    """A store, and an installer that counts."""

    def __init__(self, folder: Path, weights: Path, *, enabled: bool = True) -> None:
        self.store = Store(folder / "models")
        self.store.maintain()
        self.n_installed = 0
        self._weights = weights.read_bytes()
        library = Library(self.store)
        self.builtin = Builtin(self.store, library, enabled=enabled, install=self._install)
        self.transfers = Transfers(self.store, library, self.builtin, home=folder)

    def _install(self, store: Store) -> None:
        self.n_installed += 1
        config = encode_config(ModelConfig(model_format="gguf"))
        layers = [Layer(kind, store.blobs.put_bytes(content)[0], len(content)) for kind, content in (
            (MediaType.CONFIG, config), (MediaType.MODEL, self._weights)
        )]  # fmt: skip
        store.replace_model(BUILTIN_NAME, Manifest(layers[0], (layers[1],)))

    @property
    def names(self) -> list[str]:
        return [stored.name.display for stored in self.store.manifests.list()]


@pytest.fixture
def case(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Case:
    return Case(tmp_path, tiny_model("bare"))


@pytest.mark.parametrize(
    "spelling", ["pico", "PICO", "pico:latest", "library/pico", "registry.ollama.ai/library/Pico:Latest"]
)
def test_any_spelling_of_the_name_brings_it(case: Case, spelling: str) -> None:
    assert case.names == []
    assert case.builtin.find(ModelName.parse(spelling)).name == BUILTIN_NAME
    assert case.names == ["pico:latest"]


@pytest.mark.parametrize("other", ["pico:1b", "me/pico", "example.com/library/pico", "picot"])
def test_other_names_are_other_models(case: Case, other: str) -> None:
    with pytest.raises(ManifestNotFound):
        case.builtin.find(ModelName.parse(other))
    assert case.n_installed == 0


def test_it_is_installed_once(case: Case) -> None:
    threads = [threading.Thread(target=case.builtin.ensure, args=(BUILTIN_NAME,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    case.builtin.install()
    assert case.n_installed == 1


def test_a_deleted_one_comes_back_with_its_next_use(case: Case) -> None:
    case.builtin.install()
    case.store.delete_model(BUILTIN_NAME)
    assert case.names == []
    case.builtin.find(BUILTIN_NAME)
    assert case.n_installed == 2


def test_turned_off_the_name_is_a_name_like_any(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    case = Case(tmp_path, tiny_model("bare"), enabled=False)
    case.builtin.install()
    with pytest.raises(ManifestNotFound):
        case.builtin.find(BUILTIN_NAME)
    assert case.n_installed == 0


@pytest.mark.anyio
async def test_a_pull_reports_it_like_a_model_whose_layers_are_there(case: Case) -> None:
    steps = [step async for step in case.transfers.pull(BUILTIN_NAME)]
    layers = case.store.manifests.load(BUILTIN_NAME).manifest.blobs
    assert [step.status for step in steps] == [
        "pulling manifest",
        *(f"pulling {layer.digest.short}" for layer in layers),
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert all(step.total == step.completed == layer.size_bytes for step, layer in zip(steps[1:], layers, strict=False))
