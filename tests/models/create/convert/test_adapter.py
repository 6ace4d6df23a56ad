"""Adapters: what upstream's converter cannot convert, and what cannot be converted at all."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.create.convert.adapter import Adapter
from models.create.convert.architectures.base import block_of
from models.create.convert.architectures.table import architecture_of
from models.create.convert.low_rank import LowRank
from models.create.convert.plan import Plan, plan_adapter, plan_model
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed
from models.gguf.reader import read_gguf
from tests.models.create.convert.adapter_cases import ADAPTER, RANK, adapter_of
from tests.models.create.convert.all_cases import CASES
from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.test_reference import checkpoint, written


def base_of(case: Case, tmp_path: Path) -> Path:
    return written(plan_model(checkpoint(case, tmp_path)), tmp_path / "base.gguf")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_matrices_multiplied_are_what_the_model_would_have_of_their_product(case: Case, tmp_path: Path) -> None:
    adapter = Adapter(checkpoint(adapter_of(case), tmp_path), read_gguf(base_of(case, tmp_path)))
    model = architecture_of(checkpoint(case, tmp_path / "again"))
    names = model.tensor_names()
    made = dict(adapter.converted())
    n_changed = 0
    for source, change in adapter.changes():
        for new, wanted in model.transformed(source, Tensor.of(change.load()), block_of(source)):
            name = names.named(new).name
            product = made[f"{name}.lora_b"].floats() @ made[f"{name}.lora_a"].floats()
            np.testing.assert_allclose(product, wanted.load(), rtol=1e-5, atol=1e-6, err_msg=name)
            n_changed += 1
    assert 2 * n_changed == len(made) > 0


@pytest.mark.parametrize("name", ["GLM-OCR-tiny", "Qwen3-Next-tiny", "DeepSeek-V3-tiny", "nomic-embed-tiny-v2-moe"])
def test_adapters_fit_their_models(name: str, tmp_path: Path) -> None:
    base = base_of(CASES[name], tmp_path)
    shapes = {tensor.name: tensor.shape for tensor in read_gguf(base).tensors or ()}
    made = {
        tensor.name: tensor.shape
        for tensor in plan_adapter(checkpoint(adapter_of(CASES[name]), tmp_path), base).tensors
    }
    for tensor, shape in made.items():
        if tensor.endswith(".lora_a"):
            n_columns, n_rows = shapes[tensor.removesuffix(".lora_a")][:2]
            assert shape[-2:] == (RANK, n_columns)
            assert made[tensor.removesuffix("a") + "b"][-2:] == (n_rows, RANK)


@pytest.mark.model
def test_llama_cpp_loads_adapters_of_many_kinds(tmp_path: Path) -> None:
    paths: list[Path] = []
    for name in ("Qwen2-tiny-A1M", "Qwen3-Next-tiny", "Qwen3.5-tiny", "DeepSeek-V3-tiny", "gpt-oss-tiny", "LFM2-tiny"):
        base = base_of(CASES[name], (folder := tmp_path / name))
        paths += [
            base,
            written(plan_adapter(checkpoint(adapter_of(CASES[name]), folder), base), folder / "adapter.gguf"),
        ]
    loaded = subprocess.run([sys.executable, "-c", LOADS, *paths], capture_output=True, text=True, timeout=60)
    assert loaded.stdout.split() == ["True"] * 6, loaded.stderr[-2000:]


LOADS = """
import sys
import llama_cpp

for model, adapter in zip(sys.argv[1::2], sys.argv[2::2]):
    loaded = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
    print(bool(llama_cpp.llama_adapter_lora_init(loaded, adapter.encode())), flush=True)
"""
"""In a process of its own: what llama.cpp does not understand, it may end with."""


# ---- what else stands in adapters


def planned(tensors: dict[str, Shape], tmp_path: Path, base: str = "tiny-llama-2k", **settings: Any) -> Plan:
    """What becomes of the tensors of an adapter; those of `ADAPTER` where there are none."""
    files = {"adapter_config.json": ADAPTER.files["adapter_config.json"] | settings}
    case = dataclasses.replace(ADAPTER, tensors=tensors or ADAPTER.tensors, files=files)
    return plan_adapter(checkpoint(case, tmp_path), base_of(CASES[base], tmp_path))


def pair(stem: str, n_out: int, n_in: int) -> dict[str, Shape]:
    stem = f"base_model.model.{stem}"
    return {f"{stem}.lora_A.weight": (RANK, n_in), f"{stem}.lora_B.weight": (n_out, RANK)}


@pytest.mark.parametrize("endings", [(".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B")])
@pytest.mark.parametrize(
    ("base", "stem", "n_stored", "n_tokens"),
    [
        ("tiny-llama-2k", "model.embed_tokens", 312, 312),
        ("tiny-gemma-3-it", "model.embed_tokens", 312, 304),
        ("Nemotron-H-tiny", "backbone.embeddings", 269, 269),
    ],
)
def test_vectors_of_tokens_have_a_row_for_each_token_of_the_model(
    base: str, stem: str, n_stored: int, n_tokens: int, endings: tuple[str, str], tmp_path: Path
) -> None:
    stem = f"base_model.model.{stem}"
    plan = planned({stem + endings[0]: (RANK, n_stored), stem + endings[1]: (64, RANK)}, tmp_path, base)
    assert [(t.name, t.shape) for t in plan.tensors] == [
        ("token_embd.weight.lora_a", (n_tokens, RANK)),
        ("token_embd.weight.lora_b", (64, RANK)),
    ]


def test_a_model_trained_without_its_head_has_shorter_names(tmp_path: Path) -> None:
    plan = planned(pair("layers.1.self_attn.q_proj", 64, 64), tmp_path, "Qwen2-tiny")
    assert [t.name for t in plan.tensors] == ["blk.1.attn_q.weight.lora_a", "blk.1.attn_q.weight.lora_b"]


def test_norms_stay_whole_and_the_models_own_weights_are_left_out(tmp_path: Path) -> None:
    at = "base_model.model.model.layers.0."
    plan = planned({f"{at}input_layernorm.weight": (64,), f"{at}mlp.up_proj.base_layer.weight": (96, 64)}, tmp_path)
    assert [(t.name, t.shape) for t in plan.tensors] == [("blk.0.attn_norm.weight", (64,))]


def test_changes_of_towers_are_left_out(tmp_path: Path) -> None:
    seen = pair("visual.blocks.0.attn.proj", 32, 32)
    plan = planned(seen | pair("model.layers.0.mlp.up_proj", 96, 64), tmp_path, "Qwen2.5-VL-tiny")
    assert [t.name for t in plan.tensors] == ["blk.0.ffn_up.weight.lora_a", "blk.0.ffn_up.weight.lora_b"]


@pytest.mark.parametrize(("settings", "alpha"), [({}, 16.0), ({"use_rslora": True}, 32.0)])
def test_a_scale_by_the_root_of_the_rank_becomes_one_by_the_rank(
    settings: dict[str, Any], alpha: float, tmp_path: Path
) -> None:
    keys = {key: value for key, _, value in planned({}, tmp_path, **settings).keys.items()}
    assert keys["adapter.lora.alpha"] == alpha


AT = "base_model.model.model.layers.0.mlp."
REFUSED: dict[str, tuple[dict[str, Shape], dict[str, Any], str]] = {
    "one of two": ({f"{AT}up_proj.lora_A.weight": (4, 64)}, {}, "up_proj.weight has only one of its two matrices"),
    "of no rank": (
        {f"{AT}up_proj.lora_A.weight": (4, 64), f"{AT}up_proj.lora_B.weight": (96, 3)},
        {},
        r"shapes \[4, 64\] and \[96, 3\] cannot be multiplied",
    ),
    "of one dimension": (
        {f"{AT}up_proj.lora_A.weight": (4,), f"{AT}up_proj.lora_B.weight": (4,)},
        {},
        "cannot be multiplied",
    ),
    "whole": ({"base_model.model.lm_head.weight": (312, 64)}, {}, "^Unexpected name 'base_model.model.lm_head.weight'"),
    "DoRA": ({f"{AT}up_proj.lora_magnitude_vector": (96,)}, {}, "^Unexpected name"),
    "of no tensor": (pair("model.layers.0.mlp.side_proj", 96, 64), {}, "does not know: model.layers.0.mlp.side_proj"),
    "heads that do not fit": (pair("model.layers.0.self_attn.q_proj", 63, 64), {}, "cannot be"),
    "no alpha": ({}, {"lora_alpha": None}, "there is no lora_alpha"),
    "several alphas": ({}, {"alpha_pattern": {"q_proj": 8}}, "no alpha_pattern"),
}


@pytest.mark.parametrize(("tensors", "settings", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_converted_is_refused(
    tensors: dict[str, Shape], settings: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(CreateFailed, match=text):
        planned(tensors, tmp_path, **settings)


def test_an_output_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CreateFailed, match=r"^lm_head is present in adapter, but is ignored in base model$"):
        planned(pair("lm_head", 312, 64), tmp_path, "tiny-gemma")


def test_a_model_of_another_architecture_takes_no_adapter(tmp_path: Path) -> None:
    base = base_of(CASES["tiny-llama-2k"], tmp_path)
    other = tmp_path / "other.gguf"
    other.write_bytes(base.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0slama", 1))
    with pytest.raises(CreateFailed, match=r"^unsupported architecture$"):
        plan_adapter(checkpoint(ADAPTER, tmp_path), other)


def test_what_is_neither_of_rows_nor_of_columns_is_no_product_of_small_matrices() -> None:
    a, b = (Tensor.of(np.ones(shape)) for shape in ((2, 6), (4, 2)))
    assert isinstance(LowRank.product(a, b).moved(lambda array: array[::-1]), LowRank)
    assert isinstance(LowRank.product(a, b).moved(lambda array: array[:, ::-1]), LowRank)
    assert isinstance(LowRank.product(a, b).transposed(), LowRank)
    assert not isinstance(
        LowRank.product(a, b).moved(lambda array: np.roll(array.reshape(-1), 1).reshape(4, 6)), LowRank
    )
    assert not isinstance(LowRank.product(a, b).reshaped(6, 4), LowRank)
    assert not isinstance(LowRank.product(a, b).computed(np.exp), LowRank)
