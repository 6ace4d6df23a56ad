"""Converted models equal those of llama.cpp's own converter, which `record_golden.py` ran once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.output import OutputFile, write_plan
from models.create.convert.plan import Plan, has_projector, plan_adapter, plan_model, plan_projector
from tests.models.create.convert.adapter_cases import ADAPTERS
from tests.models.create.convert.all_cases import CASES
from tests.models.create.convert.checkpoints import Case, write_case
from tests.models.create.convert.describe import describe

GOLDEN = Path(__file__).parent / "golden"


KEYS_BEYOND = dict.fromkeys(
    ("Qwen3-tiny-FP8", "Qwen3-tiny-FP8-dynamic", "Qwen3-tiny-FP8-modelopt"),
    ("qwen3.source_quantization", "qwen3.source_fp8_tensors"),
)
"""Keys that Ollama has and upstream has not."""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_converted_model_equals_upstreams(case: Case, tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / f"{case.name}.json").read_text())
    made = converted(case, tmp_path)
    for key in KEYS_BEYOND.get(case.name, ()):
        del made["keys"][key]
    assert made["keys"] == expected["keys"]
    assert made["tensors"] == expected["tensors"]


BEYOND = {"Mistral-Tiny-3.1-Instruct": ("v.token_embd.img_break",)}
"""Tensors that upstream loses on the way (it leaves out all names with `language_model.`), though llama.cpp needs them
to load the file (clip.cpp, PROJECTOR_TYPE_PIXTRAL)."""

ROUNDED = {
    "gemma-4-tiny-E1M-it": ("a.blk.0.per_dim_scale.weight", "a.blk.1.per_dim_scale.weight"),
    "Nemotron-Nano-tiny-VL": ("v.position_embd.weight",),
    "Nemotron-Nano-tiny-Omni": ("v.position_embd.weight",),
}
"""Tensors that are computed, in upstream by functions of torch whose last bit depends on the processor: their values
are for test_towers.py."""

SEEING = {name: case for name, case in CASES.items() if case.sees}


@pytest.mark.parametrize("case", SEEING.values(), ids=SEEING.keys())
def test_what_sees_equals_upstreams(case: Case, tmp_path: Path) -> None:
    files = checkpoint(case, tmp_path)
    assert has_projector(files)
    expected = json.loads((GOLDEN / f"mmproj-{case.name}.json").read_text())
    made = describe(written(plan_projector(files), tmp_path / "out.gguf"))
    assert made["keys"] == expected["keys"]
    for name in ROUNDED.get(case.name, ()):
        made["tensors"][name][-1] = expected["tensors"][name][-1]
    ours = {name: made["tensors"].pop(name) for name in BEYOND.get(case.name, ())}
    assert made["tensors"] == expected["tensors"]
    assert list(ours) == list(BEYOND.get(case.name, ()))


def test_models_that_do_not_see_have_no_projector(tmp_path: Path) -> None:
    assert not has_projector(checkpoint(CASES["tiny-llama-2k"], tmp_path))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_converted_adapter_equals_upstreams(name: str, tmp_path: Path) -> None:
    adapter, base = ADAPTERS[name]
    model = written(plan_model(checkpoint(CASES[base], tmp_path)), tmp_path / "base.gguf")
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    made = describe(written(plan_adapter(checkpoint(adapter, tmp_path), model), tmp_path / "adapter.gguf"))
    assert made["keys"] == expected["keys"]
    assert made["tensors"] == expected["tensors"]


def converted(case: Case, tmp_path: Path) -> dict[str, Any]:
    return describe(written(plan_model(checkpoint(case, tmp_path)), tmp_path / "out.gguf"))


def checkpoint(case: Case, tmp_path: Path) -> Checkpoint:
    directory = tmp_path / case.name
    write_case(case, directory)
    return Checkpoint({str(p.relative_to(directory)): p for p in directory.rglob("*") if p.is_file()}, case.name)


def written(plan: Plan, out: Path) -> Path:
    descriptor = os.open(out, os.O_RDWR | os.O_CREAT)
    try:
        file = OutputFile(descriptor)
        write_plan(plan, file, lambda done, total: None)
        file.finish()
    finally:
        os.close(descriptor)
    return out
