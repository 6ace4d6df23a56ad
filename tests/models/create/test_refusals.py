"""What cannot be created, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from models.create.creation import create_model
from models.create.request import CreateRequest
from models.errors import (
    BadInfoField,
    BlobMissing,
    CreateFailed,
    CreateRefused,
    InvalidGGUF,
    ModelError,
    UnsupportedQuantization,
)
from models.library import Library
from registry.digest import Digest
from registry.errors import InvalidName
from tests.fakes.gguf_file import gguf_bytes, llama_bytes
from tests.models.create.workshop import ZEROS, Workshop

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
