from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from gguf import GGUFReader

from models.create.convert import conversion
from models.create.convert.conversion import converted_adapter, converted_layers
from models.create.creation import create_model
from models.create.request import CreateRequest, Progress
from models.errors import BlobMissing, CreateFailed
from models.library import Library
from registry.digest import Digest
from registry.manifest import MediaType
from registry.names import ModelName
from registry.store import Store
from tests.models.create.convert.adapter_cases import ADAPTER
from tests.models.create.convert.all_cases import CASES
from tests.models.create.convert.checkpoints import write_case
from tests.models.create.convert.describe import describe

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def upload(store: Store, folder: Path) -> dict[str, str]:
    """The files of a folder, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): str(store.blobs.put_bytes(path.read_bytes())[0]) for path in files}


def uploaded(store: Store, name: str, tmp_path: Path) -> dict[str, str]:
    write_case((CASES | {ADAPTER.name: ADAPTER})[name], tmp_path / name)
    return upload(store, tmp_path / name)


def leftovers(store: Store) -> list[str]:
    return [name for name in os.listdir(store.blobs.directory) if len(name) != len("sha256-") + 64]


def test_a_model_becomes_one_layer(store: Store, tmp_path: Path) -> None:
    files = uploaded(store, "tiny-llama-2k", tmp_path)
    said, layers = run(converted_layers(store, Library(store), files, "tiny-llama-2k"))
    assert said[0] == Progress("converting model")
    (layer,) = layers
    assert isinstance(layer.content, Digest)
    assert (layer.kind, layer.from_name, layer.note) == (MediaType.MODEL, "", f"creating new layer {layer.content}")
    path = store.blobs.path(layer.content)
    assert Digest.of(path.read_bytes()) == layer.content
    assert describe(path) == json.loads((GOLDEN / "tiny-llama-2k.json").read_text())
    assert leftovers(store) == []


def test_a_model_that_sees_and_hears_becomes_two_layers(store: Store, tmp_path: Path) -> None:
    request = CreateRequest("omni", files=uploaded(store, "Nemotron-Nano-tiny-Omni", tmp_path))
    said = list(create_model(request, library=Library(store), store=store, pull=lambda name: iter(())))
    assert [progress.status for progress in said[:2]] == ["converting model", "converting model"]
    spec = Library(store).spec(ModelName.parse("omni"))
    assert (spec.config.model_family, spec.config.renderer) == ("nemotron_h_moe", "nemotron-3-nano")
    assert set(spec.capabilities) >= {"completion", "vision", "audio"}


def test_a_model_says_which_of_its_tensors_had_eight_bits(store: Store, tmp_path: Path) -> None:
    _, (layer,) = run(converted_layers(store, Library(store), uploaded(store, "Qwen3-tiny-FP8", tmp_path), "m"))
    parts = ("attn_k", "attn_output", "attn_q", "attn_v", "ffn_down", "ffn_gate", "ffn_up")
    assert layer.quantize == "Q8_0"
    fields = GGUFReader(store.blobs.path(layer.content)).fields
    assert fields["qwen3.source_quantization"].contents() == "hf_fp8"
    assert fields["qwen3.source_fp8_tensors"].contents() == [
        f"blk.{block}.{part}.weight" for block in (0, 1) for part in parts
    ]


def test_an_adapter_becomes_one_layer(store: Store, tmp_path: Path) -> None:
    _, (base,) = run(converted_layers(store, Library(store), uploaded(store, "tiny-llama-2k", tmp_path), "base"))
    assert isinstance(base.content, Digest)
    files = uploaded(store, ADAPTER.name, tmp_path)
    said, (layer,) = run(converted_adapter(store, Library(store), files, base=store.blobs.path(base.content)))
    assert (said[0].status, layer.kind) == ("converting adapter", MediaType.ADAPTER)


def run(steps: Iterator[Progress]) -> tuple[list[Progress], Any]:
    said: list[Progress] = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return said, end.value


FAILURES = {
    "no config": ({"config.json": None}, "open config.json: no such file or directory"),
    "config is no JSON": ({"config.json": b"{"}, "parse config.json: config.json: Expecting property name enclosed in"),
    "config is a list": ({"config.json": b"[]"}, "parse config.json: config.json is not a JSON object"),
    "config is nested": ({"config.json": b"[" * 100_000}, "parse config.json: config.json is nested too deeply"),
    "no architecture": ({"config.json": b"{}"}, "unknown architecture"),
    "other architecture": (
        {"config.json": b'{"architectures": ["FalconForCausalLM"]}'},
        'unsupported architecture "FalconForCausalLM"',
    ),
    "an architecture that llama.cpp dropped": (
        {"config.json": b'{"architectures": ["MllamaForConditionalGeneration"], "text_config": {}}'},
        'unsupported architecture "MllamaForConditionalGeneration"',
    ),
    "no tokenizer": ({"tokenizer.model": None}, "unknown tokenizer format"),
    "broken tokenizer": ({"tokenizer.model": b"\x0a\xff"}, "invalid SentencePiece model"),
    "many layers": ({"num_hidden_layers": 10**9}, "a model of 1000000000 layers"),
    "many tokens": ({"vocab_size": 10**9}, "a vocabulary of 1000000000 tokens"),
    "layers without number": ({"num_hidden_layers": "two"}, "parse config.json: num_hidden_layers is not an integer"),
    "number beyond float32": ({"rope_theta": 1e300}, "rope.freq_base is 1e+300"),
    "no heads": ({"num_attention_heads": 0}, "parse config.json: num_attention_heads is not a size"),
    "heads that do not fit": ({"num_attention_heads": 7, "head_dim": 16}, "a tensor of shape [64, 64] cannot be"),
}


@pytest.mark.parametrize(("changes", "text"), FAILURES.values(), ids=FAILURES.keys())
def test_files_that_cannot_be_converted_say_why(
    store: Store, tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    folder = tmp_path / "model"
    write_case(CASES["tiny-llama-2k"], folder)
    for name, value in changes.items():
        if "." not in name:
            members = json.loads((folder / "config.json").read_text()) | {name: value}
            (folder / "config.json").write_text(json.dumps(members))
        elif value is None:
            (folder / name).unlink()
        else:
            assert isinstance(value, bytes)
            (folder / name).write_bytes(value)
    with pytest.raises(CreateFailed) as failed:
        run(converted_layers(store, Library(store), upload(store, folder), "model"))
    assert str(failed.value).startswith(text)
    assert leftovers(store) == []


def test_a_client_that_leaves_ends_the_work_and_nothing_stays(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "CONVERTER", "tests.models.create.convert.workers")
    monkeypatch.setattr(conversion, "HEARTBEAT_S", 0.01)
    steps = converted_layers(store, Library(store), uploaded(store, "tiny-llama-2k", tmp_path), "m")
    pid = next(progress.completed for progress in steps if progress.completed)
    assert next(steps).completed == pid  # it is heard of, though nothing happens
    assert psutil.pid_exists(pid)
    steps.close()
    assert not psutil.pid_exists(pid)
    assert leftovers(store) == []


def test_a_child_that_dies_is_reported(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "CONVERTER", "tests.models.create.convert.describe")  # it ends at once
    with pytest.raises(CreateFailed, match=r"^the process ended before its time$"):
        run(converted_layers(store, Library(store), uploaded(store, "tiny-llama-2k", tmp_path), "m"))
    assert leftovers(store) == []


def test_files_that_are_not_there_or_not_named_properly_are_refused(store: Store) -> None:
    with pytest.raises(BlobMissing):
        run(converted_layers(store, Library(store), {"a.safetensors": f"sha256:{'0' * 64}"}, "m"))
    with pytest.raises(CreateFailed, match=r"^file path must be relative$"):
        run(converted_layers(store, Library(store), {"../a.safetensors": f"sha256:{'0' * 64}"}, "m"))


def test_experts_that_nobody_has_are_not_counted_one_by_one(store: Store, tmp_path: Path) -> None:
    write_case(CASES["Qwen3-tiny-moe"], tmp_path / "m")
    members = json.loads((tmp_path / "m" / "config.json").read_text()) | {"num_experts": 2**40}
    (tmp_path / "m" / "config.json").write_text(json.dumps(members))
    with pytest.raises(CreateFailed, match=r"_proj\.weight: 4 experts of 1099511627776$"):
        run(converted_layers(store, Library(store), upload(store, tmp_path / "m"), "m"))
