from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from models.create.creation import create_model
from models.create.request import CreateRequest, Progress
from models.errors import (
    BadInfoField,
    BlobMissing,
    CreateFailed,
    CreateRefused,
    InvalidGGUF,
    ModelError,
    UnsupportedQuantization,
)
from models.library import Library, ModelSpec
from registry.digest import Digest
from registry.errors import InvalidName, ManifestNotFound
from registry.manifest import MediaType, ModelConfig, parse_config
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import f16, gguf_bytes, llama_bytes
from tests.fakes.model_store import add_model, put

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LORA = gguf_bytes({"general.architecture": "llama", "general.type": "adapter"}, [f16("output.weight.lora_a", 4)])
EYE = gguf_bytes(
    {"general.architecture": "clip", "general.type": "mmproj", "clip.projector_type": "mlp"}, [f16("v.patch", 4)]
)


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


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(Store(tmp_path / "models"))


@pytest.fixture
def llama(shop: Workshop) -> str:
    """The digest of an uploaded text model."""
    return shop.upload(llama_bytes())


# ---- from files


def test_a_text_model_keeps_its_bytes_and_forgets_its_file(shop: Workshop, llama: str) -> None:
    assert shop.create(files={"m.gguf": llama}) == [
        "parsing GGUF",
        "verifying conversion",
        f"using existing layer {llama}",
        "writing manifest",
        "success",
    ]
    assert shop.layers() == [("model", "")]
    assert shop.config() == ModelConfig("gguf", "llama", ("llama",), "8K", "F16")


def test_the_bytes_of_config_and_manifest_are_ollamas(shop: Workshop) -> None:
    """registry-store-cli 2.4."""
    smallest = shop.upload(gguf_bytes({"general.architecture": "test"}))
    assert smallest == "sha256:89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"
    shop.create(
        files={"test.gguf": smallest},
        template="{{ .Prompt }}",
        system="Say hi!",
        license="MIT",
        parameters={"temperature": 1, "top_k": 10, "stop": ["USER:", "ASSISTANT:"]},
        messages=(
            {"role": "assistant", "content": "What is my purpose?"},
            {"role": "User", "content": "You run tests.", "unknown": 1},
            {"content": "Oh, my god.", "role": "assistant", "thinking": ""},
        ),
    )
    manifest = shop.store.manifests.load(ModelName.parse("new")).manifest
    assert manifest.config is not None
    assert [layer.digest.hex for layer in (manifest.config, *manifest.layers)] == [
        "99759ad5b91e723db0393d698ffbb448b1b7df5ff6377a108c49254583b1bc8c",
        "89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad",
        "b507b9c2f6ca642bffcd06665ea7c91f235fd32daeefdf875a0f938db05fb315",
        "f29e82a8284dbdf5910b1555580ff60b04238b8da9d5e51159ada67a4d0d5851",
        "e5dcffe836b6ec8a58e492419b550e65fb8cbdc308503979e5dacb33ac7ea3b7",
        "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37",
        "298baeaf6928a60cf666d88d64a1ba606feb43a2865687c39e40652e407bffc4",
    ]


def test_new_texts_are_told_apart_from_those_that_are_there(shop: Workshop, llama: str) -> None:
    shop.create("one", files={"m.gguf": llama}, system="Same.", license=["a", "b"])
    said = shop.create("two", files={"m.gguf": llama}, system="Same.", license="b", template="{{ .Prompt }}")
    assert [line.split()[0] for line in said[2:]] == ["using", "creating", "using", "using", "writing", "success"]


def test_a_known_jinja_template_brings_its_go_template_and_stops(shop: Workshop) -> None:
    digest = shop.upload(llama_bytes(tokenizer__chat_template=CHATML))
    said = shop.create(files={"m.gguf": digest})
    assert said[3] == "using autodetected template chatml"
    assert said[4].startswith("creating new layer ")
    assert shop.layers() == [("model", ""), ("template", ""), ("params", "")]
    assert shop.text(MediaType.PARAMS) == ['{"stop":["\\u003c|im_start|\\u003e","\\u003c|im_end|\\u003e"]}\n']
    assert shop.spec().parameters == {"stop": ["<|im_start|>", "<|im_end|>"]}


def test_the_request_goes_before_a_known_template(shop: Workshop) -> None:
    digest = shop.upload(llama_bytes(tokenizer__chat_template=CHATML))
    said = shop.create(files={"m.gguf": digest}, template="{{ .System }}", parameters={"top_k": 1})
    assert "using autodetected template chatml" not in said
    assert shop.text(MediaType.TEMPLATE) == ["{{ .System }}"]
    assert shop.spec().parameters == {"top_k": 1, "stop": ["<|im_start|>", "<|im_end|>"]}


def test_projectors_and_adapters_keep_the_names_of_their_files(shop: Workshop, llama: str) -> None:
    files = {"m.gguf": llama, "eye.gguf": shop.upload(EYE)}
    said = shop.create(files=files, adapters={"lora.gguf": shop.upload(LORA)})
    assert said[:4] == ["parsing GGUF"] * 3 + ["verifying conversion"]
    assert shop.layers() == [("projector", "eye.gguf"), ("model", ""), ("adapter", "lora.gguf")]
    assert shop.config().model_families == ("llama",)
    assert shop.spec().capabilities == ("completion", "vision")


def test_a_multimodal_file_is_kept_as_it_came(shop: Workshop) -> None:
    digest = shop.upload(gguf_bytes({"general.architecture": "x"}, [f16("v.patch", 4)]))
    assert "verifying conversion" not in shop.create(files={"m.gguf": digest})
    assert shop.layers() == [("model", "m.gguf")]


def test_files_are_known_by_their_content_where_no_name_tells(shop: Workshop, llama: str) -> None:
    shop.create(files={"blob": llama})
    assert shop.layers() == [("model", "")]


def test_parameters_are_stored_as_ollama_reads_numbers(shop: Workshop, llama: str) -> None:
    values = {"b": 1.0, "a": 0.6, "c": 9007199254740993, "d": [1, "x", {"z": 2, "y": True}], "e": None}
    shop.create(files={"m.gguf": llama}, parameters=values)
    assert shop.text(MediaType.PARAMS) == [
        '{"a":0.6,"b":1,"c":9007199254740992,"d":[1,"x",{"y":true,"z":2}],"e":null}\n'
    ]


def test_messages_keep_what_a_message_may_have(shop: Workshop, llama: str) -> None:
    message = {"tool_name": "f", "content": None, "images": [], "role": "TOOL", "tool_call_id": "1", "other": 2}
    shop.create(files={"m.gguf": llama}, messages=(message,))
    assert shop.text(MediaType.MESSAGES) == ['[{"role":"tool","content":"","tool_name":"f","tool_call_id":"1"}]\n']


@pytest.mark.parametrize(
    ("architecture", "renderer", "parser", "stop"),
    [
        ("gemma4", "gemma4", "gemma4", ["<turn|>"]),
        ("laguna", "laguna", "laguna", None),
        ("nemotron_h_moe", "nemotron-3-nano", "nemotron-3-nano", None),
        ("llama", "", "", None),
    ],
)
def test_some_architectures_choose_renderer_and_parser(
    shop: Workshop, architecture: str, renderer: str, parser: str, stop: list[str] | None
) -> None:
    digest = shop.upload(gguf_bytes({"general.architecture": architecture}))
    shop.create(files={"m.gguf": digest})
    assert (shop.config().renderer, shop.config().parser) == (renderer, parser)
    assert shop.spec().parameters.get("stop") == stop
    shop.create(files={"m.gguf": digest}, renderer="mine", parameters={"stop": ["x"]})
    assert (shop.config().renderer, shop.config().parser) == ("mine", parser)
    assert shop.spec().parameters == {"stop": ["x"]}


def test_renderer_parser_and_requirement_are_kept_unchecked(shop: Workshop, llama: str) -> None:
    shop.create(files={"m.gguf": llama}, renderer="a", parser="b", requires="1.2.3")
    config = shop.config()
    assert (config.renderer, config.parser, config.requires) == ("a", "b", "1.2.3")


def test_info_overrides_what_the_file_says(shop: Workshop, llama: str) -> None:
    info = {
        "capabilities": ["tools", 5, "vision"], "model_family": "mine", "base_name": "b", "quantization_level": "Q9",
        "parameter_size": "1T", "context_length": 4096.0, "embedding_length": 7,
    }  # fmt: skip
    shop.create(files={"m.gguf": llama}, info=info)
    assert shop.config() == ModelConfig(
        "gguf", "mine", ("mine", "llama"), "1T", "Q9", capabilities=("tools", "vision"), context_length=4096,
        embedding_length=7, base_name="b",
    )  # fmt: skip


def test_a_draft_becomes_a_layer_and_is_described(shop: Workshop, llama: str) -> None:
    draft = shop.upload(gguf_bytes({"general.architecture": "tiny", "general.file_type": 1}))
    shop.create(files={"m.gguf": llama}, draft_files={"d.gguf": draft})
    assert shop.layers() == [("model", ""), ("draft", "d.gguf")]
    described = shop.config().draft
    assert described is not None and (described.model_format, described.architecture) == ("gguf", "tiny")


# ---- from another model


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


# ---- remote models


@pytest.mark.parametrize(
    ("from_name", "host", "remote_model", "remote_host"),
    [
        ("big:120b", "example.com", "big:120b", "http://example.com:11434"),
        ("big:cloud", "", "big", "https://ollama.com:443"),
        ("big:120b-cloud", "", "big:120b", "https://ollama.com:443"),
        ("big:cloud", "https://other:1/", "big", "https://other:1"),
    ],
)
def test_a_stub_names_the_host_that_runs_the_model(
    shop: Workshop, from_name: str, host: str, remote_model: str, remote_host: str
) -> None:
    said = shop.create(from_name=from_name, remote_host=host, system="Hi.", info={"model_family": "f"})
    assert said[-2:] == ["writing manifest", "success"]
    assert shop.layers() == [("system", "")]
    assert shop.config() == ModelConfig(
        model_family="f", model_families=("f",), remote_host=remote_host, remote_model=remote_model
    )


# ---- refusals

ZEROS = f"sha256:{'0' * 64}"
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str, list[str]]] = {
    "no source": ({}, CreateRefused, "neither 'from' or 'files' was specified", []),
    "no files": ({"files": {}}, CreateRefused, "unknown type", []),
    "unknown files": ({"files": {"a.bin": ZEROS}}, CreateRefused, "unknown type", []),
    "safetensors": (
        {"files": {"a.safetensors": "sha256:xyz", "b.gguf": ZEROS}},
        CreateFailed,
        "invalid digest format",
        [],
    ),
    "bad digest": ({"files": {"a.gguf": "sha256:xyz"}}, CreateFailed, "invalid digest format", ["parsing GGUF"]),
    "bad base": ({"from_name": "a b"}, CreateRefused, "invalid model name", []),
    "two sources": ({"from_name": "a:cloud:local"}, CreateRefused, "invalid model name", []),
    "bad remote": ({"from_name": "a", "remote_host": "http://[::1]:port"}, CreateRefused, "bad remote", []),
    "remote draft": (
        {"from_name": "a", "remote_host": "h", "draft_files": {"d.gguf": ZEROS}},
        CreateRefused,
        "DRAFT cannot be used with remote models",
        [],
    ),
    "bad name": ({"name": "a b", "files": {"a.gguf": ZEROS}}, InvalidName, "invalid model name", []),
    "path": ({"files": {"../a.gguf": ZEROS}}, CreateRefused, "file path must be relative", []),
}


@pytest.mark.parametrize(("fields", "error", "text", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_requests_that_cannot_be_met_are_refused(
    shop: Workshop, fields: dict[str, Any], error: type[Exception], text: str, said: list[str]
) -> None:
    with pytest.raises(error) as refused:
        shop.create(**fields)
    assert (str(refused.value), shop.said) == (text, said)
    assert shop.store.manifests.list() == []


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"template": "{{ .Prompt"}, CreateRefused, "template error: template: :1: unclosed action"),
        ({"license": 5}, CreateFailed, "json: cannot unmarshal number into Go value of type []string"),
        ({"license": [1]}, CreateFailed, "json: cannot unmarshal number into Go value of type string"),
        ({"license": {"a": 1}}, CreateFailed, "json: cannot unmarshal object into Go value of type []string"),
        (
            {"quantize": "q5_x"},
            UnsupportedQuantization,
            "unsupported quantization type Q5_X - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0",
        ),
        ({"info": {"context_length": "long"}}, BadInfoField, 'info field "context_length" must be a number'),
        ({"info": {"context_length": True}}, BadInfoField, 'info field "context_length" must be a number'),
        (
            {"info": {"embedding_length": -1}},
            BadInfoField,
            'info field "embedding_length" must be a non-negative integer',
        ),
        ({"info": {"context_length": 1.5}}, BadInfoField, 'info field "context_length" must be a non-negative integer'),
        ({"info": {"model_family": 5}}, BadInfoField, 'info field "model_family" must be a string'),
    ],
)
def test_values_that_cannot_be_used_are_refused(
    shop: Workshop, llama: str, fields: dict[str, Any], error: type[ModelError], text: str
) -> None:
    with pytest.raises(error) as refused:
        shop.create(files={"m.gguf": llama}, **fields)
    assert str(refused.value) == text
    assert shop.store.manifests.list() == []


def test_a_file_of_the_wanted_type_is_not_quantized(shop: Workshop, llama: str) -> None:
    assert shop.create(files={"m.gguf": llama}, quantize="f16")[-1] == "success"


@pytest.mark.parametrize("file_type", [0, 7, 99])
def test_only_unquantized_models_are_quantized(shop: Workshop, file_type: int) -> None:
    digest = shop.upload(llama_bytes(general__file_type=file_type))
    with pytest.raises(CreateFailed, match="quantization is only supported for F16, BF16 and F32 models"):
        shop.create(files={"m.gguf": digest}, quantize="Q8_0")


def test_a_draft_is_quantized_only_when_it_is_not(shop: Workshop, llama: str) -> None:
    draft = shop.upload(gguf_bytes({"general.file_type": 7}))
    with pytest.raises(CreateFailed, match="draft quantization requires an unquantized draft model, got Q8_0"):
        shop.create(files={"m.gguf": llama}, draft_files={"d.gguf": draft}, draft_quantize="q4_k_m")


def test_files_that_are_no_gguf_or_a_broken_one_are_refused(shop: Workshop) -> None:
    with pytest.raises(CreateRefused, match="supplied file was not in GGUF format"):
        shop.create(files={"m.gguf": shop.upload(b"MZ")})
    with pytest.raises(InvalidGGUF, match="EOF"):
        shop.create(files={"m.gguf": shop.upload(llama_bytes()[:100])})
    with pytest.raises(BlobMissing) as missing:
        shop.create(files={"m.gguf": ZEROS})
    path = shop.store.blobs.path(Digest.parse(ZEROS))
    assert str(missing.value) == f"open {path}: no such file or directory"


@pytest.mark.parametrize(
    ("adapters", "text"),
    [
        ({"a.gguf": ZEROS, "b.gguf": ZEROS}, "only one adapter is currently supported"),
        ({"a.gguf": "sha256:xyz"}, "invalid digest format"),
        ({"a": ZEROS}, "unknown type"),
        ({"a.safetensors": "sha256:xyz"}, "invalid digest format"),
    ],
)
def test_whatever_is_wrong_with_an_adapter_is_the_clients_fault(
    shop: Workshop, llama: str, adapters: dict[str, str], text: str
) -> None:
    with pytest.raises(CreateRefused) as refused:
        shop.create(files={"m.gguf": llama}, adapters=adapters)
    assert str(refused.value) == text


def test_a_creation_that_is_abandoned_leaves_no_name(shop: Workshop, llama: str) -> None:
    request = CreateRequest("new", files={"m.gguf": llama})
    steps = create_model(request, library=Library(shop.store), store=shop.store, pull=shop.pull)
    assert next(steps).status == "parsing GGUF"
    steps.close()  # type: ignore[attr-defined]  # it is a generator
    assert shop.store.manifests.list() == []
    assert list((shop.store.root / ".puna" / "leases").iterdir()) == []
