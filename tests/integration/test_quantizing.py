"""Weights through llama.cpp's quantizer, in its own process."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from models.create.creation import create_model
from models.create.request import CreateRequest, Progress
from models.errors import CreateFailed
from models.gguf.names import tensor_type_name
from models.library import Library
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import gguf_bytes

pytestmark = pytest.mark.model


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def upload(store: Store, content: bytes) -> str:
    return str(store.blobs.put_bytes(content)[0])


def create(store: Store, **fields: object) -> list[Progress]:
    def pull(name: ModelName) -> object:
        raise AssertionError("nothing is pulled here")

    request = CreateRequest("new", **fields)  # type: ignore[arg-type]
    return list(create_model(request, library=Library(store), store=store, pull=pull))  # type: ignore[arg-type]


def types(store: Store) -> dict[str, str]:
    weights = Library(store).spec(ModelName.parse("new")).weights
    assert weights is not None
    return {t.name: tensor_type_name(t.type) for t in Library(store).head(weights).tensors or ()}


def test_the_weights_get_the_type_and_progress_counts_the_source(
    store: Store, tiny_model: Callable[[str], Path]
) -> None:
    source = tiny_model("bare").read_bytes()
    said = create(store, files={"bare.gguf": upload(store, source)}, quantize="q4_k_m")
    steps = [p for p in said if p.status == "quantizing F16 model to Q4_K_M"]
    assert {(p.digest, p.total) for p in steps} == {("0" * 19, len(source))}
    assert [p.completed for p in steps] == sorted(p.completed for p in steps) and steps[-1].completed == len(source)
    assert "verifying conversion" in [p.status for p in said]
    assert types(store)["blk.0.ffn_up.weight"] == "Q4_K"
    spec = Library(store).spec(ModelName.parse("new"))
    assert (spec.config.file_type, spec.config.model_type) == ("Q4_K_M", "607K")


@pytest.mark.parametrize(
    ("wanted", "became"), [("F32", "F32"), ("BF16", "BF16"), ("Q5_0", "Q5_0"), ("q6_k", "Q6_K"), ("IQ4_NL", "IQ4_NL")]
)
def test_every_type_of_the_quantizer_can_be_asked_for(
    store: Store, tiny_model: Callable[[str], Path], wanted: str, became: str
) -> None:
    create(store, files={"bare.gguf": upload(store, tiny_model("bare").read_bytes())}, quantize=wanted)
    assert types(store)["blk.0.ffn_up.weight"] == became


def test_types_of_two_bits_need_an_importance_matrix(store: Store, tiny_model: Callable[[str], Path]) -> None:
    files = {"bare.gguf": upload(store, tiny_model("bare").read_bytes())}
    with pytest.raises(CreateFailed, match="quantizing failed: this quantization requires an imatrix!"):
        create(store, files=files, quantize="IQ2_XXS")
    entries = b""
    names = [t.name for t in Library(store).head(tiny_model("bare")).tensors or () if t.name.endswith(".weight")]
    for name in names:
        entries += (
            struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, 256) + struct.pack("<f", 1) * 256
        )
    matrix = upload(store, struct.pack("<i", len(names)) + entries)
    create(store, files=files, quantize="IQ2_XXS", imatrix={"m.dat": matrix})
    assert types(store)["blk.0.ffn_up.weight"] == "IQ2_XXS"


def test_what_the_quantizer_cannot_read_is_an_error_and_leaves_nothing_behind(store: Store) -> None:
    strange = gguf_bytes({"general.architecture": "strange", "general.file_type": 1, "strange.block_count": 1}, [])
    with pytest.raises(CreateFailed, match=r"quantizing failed: .*strange"):
        create(store, files={"m.gguf": upload(store, strange)}, quantize="Q8_0")
    assert [entry.name for entry in os.scandir(store.blobs.directory) if len(entry.name) != 71] == []


def test_whoever_stops_listening_ends_the_work(store: Store, tiny_model: Callable[[str], Path]) -> None:
    digest = upload(store, tiny_model("bare").read_bytes())
    request = CreateRequest("new", files={"m.gguf": digest}, quantize="Q8_0")
    steps = create_model(request, library=Library(store), store=store, pull=lambda name: iter(()))
    while not next(steps).status.startswith("quantizing"):
        pass
    next(steps)
    living = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    (child,) = [p for p in living if "models.create.quantize" in p.cmdline()]
    steps.close()
    deadline = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
    assert [entry.name for entry in os.scandir(store.blobs.directory) if len(entry.name) != 71] == []
