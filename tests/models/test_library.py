from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models.capabilities import Capability, PromptSource
from models.errors import BlobMissing, InvalidGGUF, InvalidLayer, WeightsMissing
from models.library import Library, details_of
from models.templates.errors import TemplateError
from registry.errors import CorruptManifest, ManifestNotFound
from registry.manifest import Layer, MediaType, ModelConfig
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import gguf_bytes, llama_bytes
from tests.fakes.model_store import GGUF_CONFIG, add_model, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def library(store: Store) -> Library:
    return Library(store)


def weights(store: Store, from_name: str = "", **changes: object) -> Layer:
    return put(store, MediaType.MODEL, llama_bytes(**changes), from_name)


def blob(store: Store, layer: Layer) -> Path:
    return store.blobs.path(layer.digest)


# ---- spec


def test_a_spec_gathers_all_layers(store: Store, library: Library) -> None:
    model = weights(store, "base.gguf", tokenizer__chat_template="{{ messages }}")
    projector = put(store, MediaType.PROJECTOR, gguf_bytes({"general.architecture": "clip"}))
    adapter = put(store, MediaType.ADAPTER, b"lora")
    name = add_model(
        store,
        "team/Robot:7b",
        [
            model, projector, adapter,
            put(store, MediaType.DRAFT, b"draft"),
            put(store, MediaType.TEMPLATE, "{{ .Prompt }}{{ .Suffix }}"),
            put(store, MediaType.SYSTEM, "Be nice."),
            put(store, MediaType.LICENSE, "one"), put(store, MediaType.LICENSE, "two"),
            put(store, MediaType.PARAMS, {"top_k": 3}),
            put(store, MediaType.MESSAGES, '[{"role":"user","content":"hi"}]'),
            Layer("application/x-future", model.digest, 5),
        ],
    )  # fmt: skip
    spec = library.spec(ModelName.parse("TEAM/robot:7B"))
    assert spec.name == name
    assert spec.manifest_digest == store.manifests.load(name).digest_hex
    assert (spec.weights, spec.projectors, spec.adapters) == (
        blob(store, model),
        (blob(store, projector),),
        (blob(store, adapter),),
    )
    assert spec.draft is not None and spec.draft.read_bytes() == b"draft"
    assert (spec.template, spec.chat_template) == ("{{ .Prompt }}{{ .Suffix }}", "{{ messages }}")
    assert (spec.system, spec.licenses, spec.parent_model) == ("Be nice.", ("one", "two"), "base.gguf")
    assert (spec.parameters, spec.messages) == ({"top_k": 3}, ({"role": "user", "content": "hi"},))
    assert (spec.config, spec.facts.n_vocab) == (GGUF_CONFIG, 4)
    assert spec.prompt_source is PromptSource.GO_TEMPLATE
    assert spec.capabilities == ("completion", "vision", "insert")
    assert spec.can(Capability.VISION) and not spec.can(Capability.TOOLS)
    assert spec.size_bytes == store.manifests.load(name).manifest.size_bytes


def test_of_single_layers_the_last_counts_and_parameters_add_up(store: Store, library: Library) -> None:
    layers = [
        weights(store), put(store, MediaType.SYSTEM, "a"), put(store, MediaType.SYSTEM, "b"),
        put(store, MediaType.PARAMS, {"top_k": 1, "seed": 1}), put(store, MediaType.PARAMS, {"top_k": 2}),
        put(store, MediaType.PROMPT, "old {{ .Prompt }}"),
    ]  # fmt: skip
    spec = library.spec(add_model(store, "m", layers))
    assert (spec.system, spec.parameters, spec.template) == ("b", {"top_k": 2, "seed": 1}, "old {{ .Prompt }}")


def test_a_bare_model_has_no_template_and_runs_natively(store: Store, library: Library) -> None:
    spec = library.spec(add_model(store, "m", [weights(store)]))
    assert (spec.template, spec.chat_template, spec.system, spec.parameters) == (None, None, "", {})
    assert (spec.prompt_source, spec.capabilities) == (PromptSource.CHAT_TEMPLATE, ("completion",))


def test_the_setting_decides_between_two_templates(store: Store) -> None:
    chat = weights(store, tokenizer__chat_template="{{ tools }}")
    name = add_model(store, "m", [chat, put(store, MediaType.TEMPLATE, "{{ .Prompt }}")])
    found = {setting: Library(store, go_templates=setting).spec(name) for setting in (None, True, False)}
    assert [spec.prompt_source.is_native for spec in found.values()] == [True, False, True]
    native, rendered = ("tools", "completion"), ("completion",)
    assert [spec.capabilities for spec in found.values()] == [native, rendered, native]


def test_a_stub_of_a_remote_model_has_no_weights(store: Store, library: Library) -> None:
    config = ModelConfig(remote_host="https://ollama.com:443", remote_model="big", capabilities=("completion", "tools"))
    spec = library.spec(add_model(store, "big:cloud", (), config))
    assert (spec.weights, spec.capabilities) == (None, ("completion", "tools"))


def test_a_model_without_config_can_be_described(store: Store, library: Library) -> None:
    assert library.spec(add_model(store, "m", [weights(store)], None)).config == ModelConfig()


def test_a_spec_is_built_once_but_names_and_times_are_fresh(store: Store, library: Library) -> None:
    name = add_model(store, "one", [weights(store)])
    store.copy_model(name, ModelName.parse("two"))
    first, second = library.spec(name), library.spec(ModelName.parse("two"))
    assert first.facts is second.facts
    assert (first.name.model, second.name.model) == ("one", "two")
    path = store.manifests.load(name).path
    os.utime(path, ns=(0, 7_000_000_000))
    assert library.spec(name).modified_ns == 7_000_000_000


def test_missing_files_are_noticed_also_later(store: Store, library: Library) -> None:
    model, adapter = weights(store), put(store, MediaType.ADAPTER, b"lora")
    name = add_model(store, "m", [model, adapter])
    library.spec(name)
    blob(store, adapter).rename(blob(store, adapter).with_suffix(".away"))
    with pytest.raises(BlobMissing) as missing:
        library.spec(name)
    assert str(missing.value) == f"open {blob(store, adapter)}: no such file or directory"
    blob(store, adapter).with_suffix(".away").rename(blob(store, adapter))
    library.spec(name)
    blob(store, model).unlink()
    with pytest.raises(WeightsMissing):
        library.spec(name)
    with pytest.raises(WeightsMissing):
        Library(store).spec(name)


@pytest.mark.parametrize(
    ("kind", "content", "error"),
    [
        (MediaType.MODEL, b"not a model at all", InvalidGGUF),
        (MediaType.MODEL, llama_bytes()[:200], InvalidGGUF),
        (MediaType.PROJECTOR, b"nothing", InvalidGGUF),
        (MediaType.PARAMS, b"[]", InvalidLayer),
        (MediaType.MESSAGES, b"{}", InvalidLayer),
        (MediaType.TEMPLATE, b"{{ if }}", TemplateError),
    ],
)
def test_layers_that_are_not_what_they_say_are_refused(
    store: Store, library: Library, kind: MediaType, content: bytes, error: type[Exception]
) -> None:
    name = add_model(store, "m", [weights(store), put(store, kind, content)])
    with pytest.raises(error):
        library.spec(name)


def test_a_config_that_is_none_is_refused(store: Store, library: Library) -> None:
    name = add_model(store, "m", [weights(store)])
    config = store.manifests.load(name).manifest.config
    assert config is not None
    blob(store, config).write_bytes(b"[1]")
    with pytest.raises(InvalidLayer):
        library.spec(name)
    blob(store, config).unlink()
    with pytest.raises(BlobMissing):
        library.spec(name)


def test_unknown_and_corrupt_models_are_told_apart(store: Store, library: Library) -> None:
    name = add_model(store, "m", [weights(store)])
    with pytest.raises(ManifestNotFound):
        library.spec(ModelName.parse("m:other"))
    store.manifests.load(name).path.write_bytes(b"{")
    with pytest.raises(CorruptManifest):
        library.spec(name)


# ---- list


def test_the_list_has_the_newest_first(store: Store, library: Library) -> None:
    for seconds, text in enumerate(("a", "b", "team/c:1")):
        path = store.manifests.load(add_model(store, text, [weights(store)])).path
        os.utime(path, (seconds, seconds))
    assert [m.name.display for m in library.list_models()] == ["team/c:1", "b:latest", "a:latest"]


def test_a_summary_has_what_the_config_and_the_file_say(store: Store, library: Library) -> None:
    config = replace(GGUF_CONFIG, file_type="unknown", embedding_length=9)
    name = add_model(store, "m", [weights(store, "parent")], config)
    (summary,) = library.list_models()
    stored = store.manifests.load(name)
    assert (summary.digest, summary.size_bytes) == (stored.digest_hex, stored.manifest.size_bytes)
    assert summary.capabilities == ("completion",)
    details = summary.details
    assert (details.parent_model, details.format, details.families) == ("parent", "gguf", ("llama",))
    assert (details.quantization_level, details.context_length, details.embedding_length) == ("F16", 2048, 9)


def test_f32_is_told_in_the_list_and_unknown_elsewhere(store: Store, library: Library) -> None:
    """Compat: registry-store-cli 2.5."""
    config = replace(GGUF_CONFIG, file_type="unknown")
    add_model(store, "m", [weights(store, general__file_type=0)], config)
    assert library.list_models()[0].details.quantization_level == "F32"
    assert details_of(config, "", "unknown").quantization_level == "unknown"


def test_a_model_without_weights_stays_in_the_list_with_less_detail(store: Store, library: Library) -> None:
    model = weights(store)
    add_model(store, "m", [model])
    content = blob(store, model).read_bytes()
    blob(store, model).unlink()
    (summary,) = library.list_models()
    assert (summary.capabilities, summary.details.context_length) == ((), 0)
    blob(store, model).write_bytes(content)
    (summary,) = library.list_models()
    assert (summary.capabilities, summary.details.context_length) == (("completion",), 2048)


@pytest.mark.parametrize("kind", [MediaType.CONFIG, MediaType.TEMPLATE])
def test_a_model_without_config_or_template_is_not_listed(
    store: Store, library: Library, kind: MediaType, caplog: pytest.LogCaptureFixture
) -> None:
    add_model(store, "good", [weights(store)])
    template = put(store, MediaType.TEMPLATE, "{{ .Prompt }} of bad")
    bad = add_model(store, "bad", [weights(store), template], replace(GGUF_CONFIG, model_type="9K"))
    config = store.manifests.load(bad).manifest.config
    assert config is not None
    blob(store, config if kind is MediaType.CONFIG else template).unlink()
    assert [m.name.model for m in library.list_models()] == ["good"]
    assert [m.name.model for m in library.list_models()] == ["good"]
    assert [r.message.split(":")[0] for r in caplog.records] == ["bad"]


def test_a_template_that_cannot_be_parsed_hides_its_model_from_the_list(store: Store, library: Library) -> None:
    add_model(store, "bad", [weights(store), put(store, MediaType.TEMPLATE, "{{ if }}")])
    assert library.list_models() == []


def test_the_list_differs_from_show_where_ollamas_does(store: Store, library: Library) -> None:
    """Compat: registry-store-cli 10.6: the list looks at no Jinja template, and at nothing behind the vocabulary."""
    changes = {"tokenizer__chat_template": "{{ tools }}<think></think>", "llama__pooling_type": 1}
    name = add_model(store, "m", [weights(store, **changes)])
    assert library.list_models()[0].capabilities == ("completion",)
    assert library.spec(name).capabilities == ("tools", "thinking", "embedding")


def test_many_may_ask_at_once(store: Store, library: Library) -> None:
    for n in range(20):
        add_model(store, f"m{n}", [weights(store)], replace(GGUF_CONFIG, model_type=str(n)))
    with ThreadPoolExecutor(8) as threads:
        lists = list(threads.map(lambda _: library.list_models(), range(16)))
    assert all(found == lists[0] for found in lists) and len(lists[0]) == 20


def test_an_empty_store_lists_nothing(library: Library) -> None:
    assert library.list_models() == []
