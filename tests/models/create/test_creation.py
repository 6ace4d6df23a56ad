"""Models from uploaded files."""

from __future__ import annotations

import pytest

from registry.manifest import MediaType, ModelConfig
from registry.names import ModelName
from tests.fakes.gguf_file import f16, gguf_bytes, llama_bytes
from tests.models.create.workshop import LORA, Workshop

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
EYE = gguf_bytes(
    {"general.architecture": "clip", "general.type": "mmproj", "clip.projector_type": "mlp"}, [f16("v.patch", 4)]
)


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
