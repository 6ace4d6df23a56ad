"""Towers: what of them is computed, and what upstream's converter does not know."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from models.create.convert.architectures import nemotron_vl
from models.create.convert.architectures.nemotron_vl import resized
from models.create.convert.plan import has_projector, plan_model, plan_projector
from models.errors import CreateFailed
from tests.models.create.convert.all_cases import CASES
from tests.models.create.convert.checkpoints import Case, random_bytes
from tests.models.create.convert.test_reference import checkpoint, written


@pytest.mark.parametrize(("before", "after"), [(20, 8), (128, 32), (5, 9), (1, 1)])
def test_positions_that_lie_on_a_plane_stay_on_it_at_any_size(before: int, after: int) -> None:
    def plane(side: int) -> np.ndarray:
        at = np.linspace(0, 1, side) if side > 1 else np.zeros(1)
        return np.stack([3 * at[:, None] - 2 * at[None, :] + 0.5, at[:, None] + 0 * at[None, :]], -1)

    made = resized(plane(before).astype(np.float32), after)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, plane(after), atol=2e-6)


def test_between_four_positions_there_is_their_mean() -> None:
    grid = np.array([[[1.0], [2.0]], [[4.0], [9.0]]], np.float32)
    assert resized(grid, 3)[..., 0].tolist() == [[1.0, 1.5, 2.0], [2.5, 4.0, 5.5], [4.0, 6.5, 9.0]]


def test_what_gemma_4_hears_with_is_scaled_by_positive_numbers(tmp_path: Path) -> None:
    reader = GGUFReader(written(plan_projector(checkpoint(CASES["gemma-4-tiny-E1M-it"], tmp_path)), tmp_path / "a"))
    made = next(tensor.data for tensor in reader.tensors if tensor.name == "a.blk.1.per_dim_scale.weight")
    stored = np.frombuffer(random_bytes("model.audio_tower.layers.1.self_attn.per_dim_scale", (16,), "BF16"), "<u2")
    values = (stored.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(made, [math.log(1 + math.exp(value)) for value in values], rtol=1e-6)


def test_norms_of_what_gemma_3n_hears_with_have_gemma_4s_names(tmp_path: Path) -> None:
    at = "model.audio_tower.subsample_conv_projection."
    case = with_tensors(
        CASES["gemma-3n-tiny-E1M-it"], {f"{at}conv_0.norm.weight": (8,), f"{at}conv_1.norm.weight": (4,)}
    )
    names = {tensor.name for tensor in plan_projector(checkpoint(case, tmp_path)).tensors}
    assert names >= {"a.conv1d.0.norm.weight", "a.conv1d.1.norm.weight"}


def test_a_block_that_mobilenet_does_not_have_is_refused(tmp_path: Path) -> None:
    name = "model.vision_tower.timm_model.blocks.0.0.attn.strange.weight"
    case = with_tensors(CASES["gemma-3n-tiny-E1M-it"], {name: (8,)})
    with pytest.raises(CreateFailed, match=r"does not know: model\.vision_tower\.timm_model\.blocks\.0\.0"):
        plan_projector(checkpoint(case, tmp_path))


def test_gemma_4_without_ears_only_sees(tmp_path: Path) -> None:
    case = CASES["gemma-4-tiny-E1M-it"]
    deaf = dataclasses.replace(case, config=case.config | {"audio_config": None})
    plan = plan_projector(checkpoint(deaf, tmp_path))
    assert "has_audio_encoder" not in plan.keys
    assert "vision.projector_type" in plan.keys
    assert not [tensor.name for tensor in plan.tensors if tensor.name.startswith(("a.", "mm.a."))]


def test_gemma_4_without_weights_of_towers_has_no_projector(tmp_path: Path) -> None:
    case = CASES["gemma-4-tiny-E1M-it"]
    kept = {name: shape for name, shape in case.tensors.items() if "language_model." in name}
    assert not has_projector(checkpoint(dataclasses.replace(case, tensors=kept), tmp_path))


def test_nemotron_omni_without_weights_of_ears_only_sees(tmp_path: Path) -> None:
    case = CASES["Nemotron-Nano-tiny-Omni"]
    kept = {name: shape for name, shape in case.tensors.items() if not name.startswith("sound_")}
    plan = plan_projector(checkpoint(dataclasses.replace(case, tensors=kept), tmp_path))
    assert "projector_type" in plan.keys
    assert "has_audio_encoder" not in plan.keys


@pytest.mark.parametrize("changes", [{"subsampling_factor": 4}, {"conv_kernel_size": 4}, {"num_hidden_layers": 10**9}])
def test_ears_that_llama_cpp_would_fall_over_are_refused(changes: dict[str, int], tmp_path: Path) -> None:
    case = CASES["Nemotron-Nano-tiny-Omni"]
    sound = case.config["sound_config"] | changes
    with pytest.raises(CreateFailed, match=rf"{next(iter(changes))} is \d+|a model of \d+ layers"):
        plan_projector(checkpoint(dataclasses.replace(case, config=case.config | {"sound_config": sound}), tmp_path))


@pytest.mark.parametrize("name", ["conv.pointwise_conv1.weight", "conv.depthwise_conv.weight"])
def test_convolutions_of_no_proper_shape_are_refused(name: str, tmp_path: Path) -> None:
    case = with_tensors(CASES["Nemotron-Nano-tiny-Omni"], {f"sound_encoder.encoder.layers.0.{name}": (64, 16, 2)})
    with pytest.raises(CreateFailed, match="does not have the shape"):
        plan_projector(checkpoint(case, tmp_path))


@pytest.mark.parametrize(("patches", "side"), [(400, 10**9), (0, 8), (399, 8)])
def test_positions_of_no_square_or_of_too_many_patches_are_refused(patches: int, side: int, tmp_path: Path) -> None:
    case = CASES["Nemotron-Nano-tiny-VL"]
    name = "vision_model.radio_model.model.patch_generator.pos_embed"
    wrong = dataclasses.replace(
        with_tensors(case, {name: (1, patches, 1280)}), config=case.config | {"force_image_size": 4 * side}
    )
    with pytest.raises(CreateFailed):
        plan_projector(checkpoint(wrong, tmp_path))


@pytest.mark.parametrize(
    ("name", "patches"),
    [
        ("LFM2-VL-tiny", "model.vision_tower.vision_model.embeddings.patch_embedding.weight"),
        ("gemma-4-tiny-E1M-it", "model.vision_tower.patch_embedder.input_proj.weight"),
        ("Nemotron-Nano-tiny-VL", "vision_model.radio_model.model.patch_generator.embedder.weight"),
    ],
)
@pytest.mark.parametrize("shape", [(), (7,), (32, 50)])
def test_weights_of_no_square_patches_are_refused(
    name: str, patches: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    with pytest.raises(CreateFailed, match=r"does not have the shape|cannot be converted"):
        plan_projector(checkpoint(with_tensors(CASES[name], {patches: shape}), tmp_path))


def test_numbers_of_positions_are_left_out(tmp_path: Path) -> None:
    case = with_tensors(CASES["DeepSeek-OCR-tiny"], {"model.vision_model.embeddings.position_ids:I64": (1, 257)})
    plan = plan_projector(checkpoint(case, tmp_path))
    assert len(plan.tensors) == len(plan_projector(checkpoint(CASES[case.name], tmp_path / "without")).tensors)


@pytest.mark.model
@pytest.mark.parametrize("name", ["LFM2-VL-tiny", "gemma-4-tiny-E1M-it", "DeepSeek-OCR-tiny"])
def test_llama_cpp_loads_the_model_and_what_it_sees_with(name: str, tmp_path: Path) -> None:
    files = checkpoint(CASES[name], tmp_path)
    text, projector = (written(plan(files), tmp_path / plan.__name__) for plan in (plan_model, plan_projector))
    loaded = subprocess.run([sys.executable, "-c", LOADS, text, projector], capture_output=True, text=True, timeout=60)
    assert loaded.stdout.split()[:2] == ["model", "projector"], loaded.stderr[-2000:]


@pytest.mark.model
def test_llama_cpp_loads_what_nemotron_omni_sees_and_hears_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    monkeypatch.setattr(nemotron_vl, "RADIO", sizes)  # the real one has 630 million weights
    case = CASES["Nemotron-Nano-tiny-Omni"]
    at = "vision_model.radio_model.model.patch_generator."
    small = {f"{at}cls_token.token": (2, 32), f"{at}pos_embed": (1, 64, 32), f"{at}embedder.weight": (32, 48),
             "mlp1.0.weight": (128,), "mlp1.1.weight": (48, 128),
             "language_model.backbone.embeddings.weight": (272, 64),
             "language_model.lm_head.weight": (272, 64)}  # fmt: skip
    files = checkpoint(with_tensors(case, small), tmp_path)
    text, projector = (written(plan(files), tmp_path / plan.__name__) for plan in (plan_model, plan_projector))
    loaded = subprocess.run([sys.executable, "-c", LOADS, text, projector], capture_output=True, text=True, timeout=60)
    assert loaded.stdout.split() == ["model", "projector", "sees", "hears"], loaded.stderr[-2000:]


LOADS = """
import sys
import llama_cpp
from llama_cpp import mtmd_cpp

text, projector = (path.encode() for path in sys.argv[1:])
model = llama_cpp.llama_model_load_from_file(text, llama_cpp.llama_model_default_params())
print("model" if model else "no model", flush=True)
settings = mtmd_cpp.mtmd_context_params_default()
settings.use_gpu = settings.warmup = False
towers = mtmd_cpp.mtmd_init_from_file(projector, model, settings)
print("projector" if towers else "no projector")
print("sees" if mtmd_cpp.mtmd_support_vision(towers) else "", "hears" if mtmd_cpp.mtmd_support_audio(towers) else "")
"""
"""In a process of its own: what llama.cpp does not understand, it may end with."""


def with_tensors(case: Case, more: dict[str, tuple[int, ...]]) -> Case:
    return dataclasses.replace(case, tensors=case.tensors | more)
