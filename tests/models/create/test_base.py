"""Models from other models."""

from __future__ import annotations

import pytest

from models.errors import (
    BlobMissing,
)
from registry.digest import Digest
from registry.errors import ManifestNotFound
from registry.manifest import MediaType, ModelConfig
from registry.names import ModelName
from tests.fakes.model_store import put
from tests.models.create.workshop import LORA, Workshop


@pytest.fixture
def base(shop: Workshop, llama: str) -> str:
    shop.create(
        "base", files={"m.gguf": llama}, system="Old.", license="one", template="{{ .Prompt }}", renderer="r",
        requires="1.0.0", parameters={"top_k": 1, "stop": ["a", "b"]}, messages=({"role": "user", "content": "hi"},),
        info={"capabilities": ["tools"]},
    )  # fmt: skip
    return "base"


def test_everything_is_inherited_and_says_where_from(shop: Workshop, base: str) -> None:
    assert [line.split(" sha")[0] for line in shop.create(from_name=base)] == [
        *(["using existing layer"] * 6),
        "writing manifest",
        "success",
    ]
    inherited = "base:latest"
    assert shop.layers() == [
        ("model", inherited), ("template", inherited), ("system", inherited), ("license", inherited),
        ("messages", inherited), ("params", ""),
    ]  # fmt: skip
    assert shop.config() == ModelConfig(
        "gguf", "llama", ("llama",), "8K", "F16", renderer="r", requires="1.0.0", capabilities=("tools",)
    )
    assert shop.spec().parent_model == inherited


def test_texts_replace_but_licenses_and_parameters_add_up(shop: Workshop, base: str) -> None:
    shop.create(
        from_name=base, system="New.", license=["two", "three"], parameters={"stop": ["c"], "seed": 1}, parser="p"
    )
    spec = shop.spec()
    assert (spec.system, spec.licenses, spec.template) == ("New.", ("one", "two", "three"), "{{ .Prompt }}")
    assert spec.parameters == {"stop": ["c"], "seed": 1, "top_k": 1}
    assert (spec.config.renderer, spec.config.parser) == ("r", "p")


def test_a_model_may_be_made_from_itself(shop: Workshop, base: str) -> None:
    shop.create("base", from_name="base:local", system="Changed.")
    assert shop.spec("base").system == "Changed."
    assert shop.spec("base").parent_model == "base:latest"


def test_what_only_the_replaced_model_had_is_removed(shop: Workshop, llama: str) -> None:
    digests = {prune: put(shop.store, MediaType.SYSTEM, f"Old, {prune}.").digest for prune in (True, False)}
    for prune, digest in digests.items():
        shop.create(files={"m.gguf": llama}, system=f"Old, {prune}.")
        shop.create(files={"m.gguf": llama}, prune=prune)
        assert shop.store.blobs.has(digest) is not prune


def test_the_base_goes_before_files(shop: Workshop, base: str) -> None:
    shop.create(from_name=base, files={"x": f"sha256:{'0' * 64}"})
    assert shop.spec().parent_model == "base:latest"


def test_an_adapter_can_be_put_on_a_base(shop: Workshop, base: str) -> None:
    said = shop.create(from_name=base, adapters={"lora.gguf": shop.upload(LORA)})
    assert said[0] == "parsing GGUF" and "verifying conversion" not in said
    assert shop.layers()[-3:] == [("messages", "base:latest"), ("adapter", "lora.gguf"), ("params", "")]


def test_a_missing_base_is_pulled_first(shop: Workshop) -> None:
    said = shop.create(from_name="pullable:7b")
    assert said[:2] == ["pulling manifest", "success"] and said[-1] == "success"
    assert shop.pulled == [ModelName.parse("pullable:7b")]
    assert shop.spec().parent_model == "pullable:7b"


def test_a_base_is_looked_up_in_its_very_spelling(shop: Workshop, base: str) -> None:
    with pytest.raises(ManifestNotFound):
        shop.create(from_name="BASE")
    assert shop.pulled == [ModelName.parse("BASE")]


def test_a_base_that_has_lost_a_blob_is_refused(shop: Workshop, base: str, llama: str) -> None:
    shop.store.blobs.remove(Digest.parse(llama))
    with pytest.raises(BlobMissing, match="no such file or directory"):
        shop.create(from_name=base)
