from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.builtin import install as builtin
from models.builtin.install import DIGEST, NAME, WEIGHTS, install
from models.gguf.reader import read_gguf
from models.library import Library
from registry.digest import Digest
from registry.errors import DigestMismatch, ManifestNotFound
from registry.manifest import Layer, Manifest, MediaType
from registry.store import Store

MAX_BYTES = 3_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_the_packaged_file_is_small_and_has_the_digest_that_the_code_promises() -> None:
    assert WEIGHTS.stat().st_size <= MAX_BYTES
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == DIGEST.hex


def test_the_packaged_file_is_a_llama_model_that_chats_with_tools_and_thinks() -> None:
    gguf = read_gguf(WEIGHTS)
    assert gguf.architecture == "llama"
    assert gguf.metadata["general.name"] == "Pico"
    template = str(gguf.metadata["tokenizer.chat_template"])
    assert all(part in template for part in ("tools", "tool_call", "<think>", "</think>", "enable_thinking"))


def test_an_installed_model_is_listed_and_described_like_a_pulled_one(store: Store) -> None:
    name = install(store)

    spec = Library(store).spec(name)
    assert [stored.name.display for stored in store.manifests.list()] == ["pico:latest"]
    assert spec.weights == store.blobs.path(DIGEST)
    assert spec.config.model_family == "llama"
    assert spec.config.file_type == "Q8_0"
    assert spec.parameters == {"stop": ["<|im_start|>", "<|im_end|>"]}
    assert spec.licenses[0].startswith("MIT License")
    assert set(spec.capabilities) == {"completion", "tools", "thinking"}
    assert spec.facts is not None and spec.facts.n_ctx_train >= 2048


def test_installing_again_changes_nothing(store: Store) -> None:
    install(store)
    before = store.manifests.load(NAME)

    assert install(store) == NAME
    assert store.manifests.load(NAME) == before


def test_an_older_pico_is_replaced_and_its_weights_go(store: Store) -> None:
    old, _ = store.blobs.put_bytes(b"an older pico")
    store.replace_model(NAME, Manifest(None, (Layer(MediaType.MODEL, old, 13),)))

    install(store)

    assert store.manifests.load(NAME).manifest.layers[0].digest == DIGEST
    assert not store.blobs.has(old)


def test_a_manifest_that_cannot_be_read_is_replaced(store: Store) -> None:
    install(store)
    store.manifests.load(NAME).path.write_bytes(b"{")

    install(store)

    assert store.manifests.load(NAME).manifest.layers[0].digest == DIGEST


def test_an_installed_model_can_be_copied_and_deleted_without_a_trace(store: Store) -> None:
    copy = type(NAME).parse("copy-of-pico")
    store.copy_model(install(store), copy)

    store.delete_model(NAME)
    assert store.blobs.has(DIGEST)
    store.delete_model(copy)
    assert list(store.blobs.digests()) == []


def test_a_damaged_package_installs_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(WEIGHTS.read_bytes()[:-1] + b"\xff\xfe")
    monkeypatch.setattr(builtin, "WEIGHTS", damaged)

    with pytest.raises(DigestMismatch):
        install(store)

    assert not store.blobs.has(Digest.of(damaged.read_bytes()))
    with pytest.raises(ManifestNotFound):
        store.manifests.load(NAME)
