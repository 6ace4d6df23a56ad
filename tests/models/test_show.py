from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.gguf.values import ValueType
from models.library import Library
from models.show import go_syntax, parameter_lines, show_model
from registry.gojson import Float32, encode
from registry.manifest import Layer, MediaType, ModelConfig
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import f16, gguf_bytes, llama_bytes, numbers, strings
from tests.fakes.model_store import GGUF_CONFIG, add_model, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def show(store: Store, name: ModelName, **asked: Any) -> dict[str, Any]:
    library = Library(store)
    return show_model(library, library.spec(name), **asked)


def model(store: Store, *layers: Layer, config: ModelConfig = GGUF_CONFIG, **changes: Any) -> ModelName:
    return add_model(store, "m", [put(store, MediaType.MODEL, llama_bytes(**changes), "file.gguf"), *layers], config)


def test_a_bare_model_shows_few_things_in_ollamas_order(store: Store) -> None:
    shown = show(store, model(store))
    assert list(shown) == [
        "modelfile", "template", "details", "model_info", "tensors", "capabilities", "modified_at",
    ]  # fmt: skip
    assert shown["template"] == "{{ .Prompt }}"
    assert shown["details"] == {
        "parent_model": "file.gguf",
        "format": "gguf",
        "family": "llama",
        "families": ("llama",),
        "parameter_size": "8K",
        "quantization_level": "F16",
    }
    assert shown["tensors"][0] == {"name": "token_embd.weight", "type": "F16", "shape": (64, 4)}
    assert shown["capabilities"] == ["completion"]


def test_everything_is_shown_in_ollamas_order(store: Store) -> None:
    layers = [
        put(store, MediaType.LICENSE, "one"), put(store, MediaType.LICENSE, "two"),
        put(store, MediaType.PARAMS, {"stop": ["<a>", "b"], "top_k": 1000000}),
        put(store, MediaType.SYSTEM, "Be nice."),
        put(store, MediaType.MESSAGES, '[{"role":"user","content":"hi","thinking":"no"}]'),
        put(store, MediaType.PROJECTOR, gguf_bytes({"general.architecture": "clip", "general.name": "Eye"})),
    ]  # fmt: skip
    shown = show(store, model(store, *layers, config=ModelConfig(requires="0.1.0")))
    assert list(shown) == [
        "license", "modelfile", "parameters", "template", "system", "details", "messages", "model_info",
        "projector_info", "tensors", "capabilities", "modified_at", "requires",
    ]  # fmt: skip
    assert shown["license"] == "one\ntwo"
    assert shown["parameters"] == (
        'stop                           "<a>"\nstop                           "b"\ntop_k                          1e+06'
    )
    assert shown["messages"] == [{"role": "user", "content": "hi"}]
    assert shown["projector_info"] == {
        "general.architecture": "clip",
        "general.name": "Eye",
        "general.parameter_count": 0,
    }


def test_metadata_is_sorted_without_name_and_template(store: Store) -> None:
    name = model(store, general__name="N", tokenizer__chat_template="J", llama__eps=0.1, a__b=(ValueType.FLOAT64, 0.1))
    info = show(store, name)["model_info"]
    assert list(info) == sorted(info)
    assert not {"general.name", "tokenizer.chat_template"} & set(info)
    assert info["general.parameter_count"] == 8448
    assert encode([info["llama.eps"], info["a.b"]]) == b"[0.1,0.1]"
    assert isinstance(info["llama.eps"], Float32)


def test_arrays_are_null_unless_asked_for(store: Store) -> None:
    name = model(
        store,
        a__none=strings(),
        a__texts=["x", "y"],
        a__bytes=numbers(ValueType.UINT8, 1, 2, 3),
        a__floats=numbers(ValueType.FLOAT32, 0.1, 1.0),
        a__doubles=numbers(ValueType.FLOAT64, 0.1),
        a__flags=numbers(ValueType.BOOL, True, False),
    )
    brief = {k: v for k, v in show(store, name)["model_info"].items() if k.startswith("a.")}
    assert encode(brief) == (
        b'{"a.bytes":null,"a.doubles":null,"a.flags":null,"a.floats":null,"a.none":[],"a.texts":null}'
    )
    full = {k: v for k, v in show(store, name, verbose=True)["model_info"].items() if k.startswith("a.")}
    assert encode(full) == (
        b'{"a.bytes":"AQID","a.doubles":[0.1],"a.flags":[true,false],"a.floats":[0.1,1],"a.none":[],"a.texts":["x","y"]}'
    )


def test_the_jinja_template_is_shown_where_it_is_in_force(store: Store) -> None:
    assert show(store, model(store, tokenizer__chat_template="{{ messages }}"))["template"] == "{{ messages }}"
    go = put(store, MediaType.TEMPLATE, "{{ .System }}")
    assert show(store, model(store, go, tokenizer__chat_template="{{ messages }}"))["template"] == "{{ .System }}"


def test_an_empty_template_is_left_out(store: Store) -> None:
    assert "template" not in show(store, model(store, put(store, MediaType.TEMPLATE, "")))


def test_a_modelfile_would_make_the_model_again(store: Store) -> None:
    adapter = put(store, MediaType.ADAPTER, b"lora")
    projector = put(store, MediaType.PROJECTOR, gguf_bytes({}))
    draft = put(store, MediaType.DRAFT, b"d")
    layers = [
        adapter, draft, projector, put(store, MediaType.TEMPLATE, "{{ .Prompt }}\n"),
        put(store, MediaType.SYSTEM, 'Say "hi"\nand go.'),
        put(store, MediaType.PARAMS, {"top_p": 0.5, "stop": ["a", " b"], "use_mmap": True, "num_ctx": 2048}),
        put(store, MediaType.LICENSE, "MIT"), put(store, MediaType.MESSAGES, '[{"role":"user","content":"a\\nb"}]'),
    ]  # fmt: skip
    config = ModelConfig(model_format="gguf", renderer="r", parser="p", requires="1.0.0")
    name = model(store, *layers, config=config)
    blobs = {layer.kind: store.blobs.path(layer.digest) for layer in store.manifests.load(name).manifest.layers}
    assert (
        show(store, name)["modelfile"]
        == f'''# Modelfile generated by "ollama show"
# To build a new Modelfile based on this, replace FROM with:
# FROM m:latest

FROM {blobs[MediaType.MODEL]}
ADAPTER {blobs[MediaType.ADAPTER]}
DRAFT {blobs[MediaType.DRAFT]}
FROM {blobs[MediaType.PROJECTOR]}
TEMPLATE "{{{{ .Prompt }}}}
"
SYSTEM """Say "hi"
and go."""
RENDERER r
PARSER p
PARAMETER num_ctx 2048
PARAMETER stop a
PARAMETER stop " b"
PARAMETER top_p 0.5
PARAMETER use_mmap true
LICENSE MIT
MESSAGE user "a
b"
'''
    )


def test_the_request_may_overlay_system_and_options(store: Store) -> None:
    name = model(store, put(store, MediaType.PARAMS, {"top_k": 1}))
    shown = show(store, name, system="Other.", options={"top_k": 2, "seed": 7})
    assert shown["system"] == "Other."
    assert "SYSTEM Other.\nPARAMETER seed 7\nPARAMETER top_k 2\n" in shown["modelfile"]
    assert shown["parameters"] == "top_k                          1"


def test_a_client_may_want_its_name_as_base_name(store: Store) -> None:
    info = show(store, model(store), basename="m:latest")["model_info"]
    assert info["general.basename"] == "m:latest" and list(info) == sorted(info)


@pytest.mark.parametrize(
    ("config", "info"),
    [
        (ModelConfig(remote_host="h", remote_model="big"), {}),
        (ModelConfig(remote_host="h", remote_model="big", context_length=5), {}),
        (
            ModelConfig(remote_host="h", model_family="f", base_name="b", context_length=5, embedding_length=6),
            {"general.architecture": "f", "general.basename": "b", "f.context_length": 5, "f.embedding_length": 6},
        ),
        (ModelConfig(remote_host="h", model_family="f"), {"general.architecture": "f"}),
    ],
)
def test_a_stub_tells_what_its_config_does(store: Store, config: ModelConfig, info: dict[str, Any]) -> None:
    shown = show(store, add_model(store, "big:cloud", (), config))
    assert shown["model_info"] == info
    assert shown["remote_host"] == "h" and "tensors" not in shown
    assert "\nFROM \nTEMPLATE" in shown["modelfile"]


def test_a_safetensors_model_has_a_short_modelfile(store: Store) -> None:
    name = add_model(store, "m", [], ModelConfig(model_format="safetensors"))
    assert show(store, name)["modelfile"] == '# Modelfile generated by "ollama show"\nFROM m:latest\n'


def test_the_list_of_tensors_is_complete(store: Store) -> None:
    file = gguf_bytes({"general.architecture": "x"}, [f16("a", 2, 3, 4, 5), f16("b"), f16("c", 1)])
    shown = show(store, add_model(store, "m", [put(store, MediaType.MODEL, file)]))
    assert [tensor["shape"] for tensor in shown["tensors"]] == [(2, 3, 4, 5), (), (1,)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n", '"a\\n"'), (1024.0, "1024"), (1048576.0, "1.048576e+06"), (1e-7, "1e-07"), (0.3, "0.3"), (True, "true"),
        (None, "<nil>"), (["a", 1.0, None], '[]interface {}{"a", 1, interface {}(nil)}'),
        ({"b": 1.0, "a": []}, 'map[string]interface {}{"a":[]interface {}{}, "b":1}'),
    ],
)  # fmt: skip
def test_values_as_go_source(value: object, text: str) -> None:
    assert go_syntax(value) == text


def test_integers_too_large_for_a_float_do_no_harm() -> None:
    assert parameter_lines({"seed": 10**400}) == "seed                           +Inf"
