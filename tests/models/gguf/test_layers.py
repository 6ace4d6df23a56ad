from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.gguf.layers import MAX_LAYERS, LayerFacts, layers_of
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF, ValueType
from tests.fakes.gguf_file import LLAMA, LLAMA_TENSORS, f16, gguf_bytes, numbers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def read(path: Path, architecture: str, **metadata: Any) -> GGUF:
    """A model of an architecture with six layers; dots in the keys are written as `__`."""
    usual = {"block_count": 6, "embedding_length": 64, "attention__head_count": 4, "attention__head_count_kv": 2}
    pairs = {f"{architecture}.{key.replace('__', '.')}": value for key, value in (usual | metadata).items()}
    path.write_bytes(
        gguf_bytes({"general.architecture": architecture} | {k: v for k, v in pairs.items() if v is not None})
    )
    return read_gguf(path)


def test_a_layer_weighs_what_its_tensors_do_and_keeps_keys_and_values(path: Path) -> None:
    path.write_bytes(gguf_bytes(LLAMA, LLAMA_TENSORS))
    assert layers_of(read_gguf(path)) == (LayerFacts(64 * 64 * 2, 2 * (16 + 16)),) * 2


def test_layers_may_be_known_by_their_tensors_alone(path: Path) -> None:
    path.write_bytes(
        gguf_bytes({"general.architecture": "x"}, [f16("blk.2.a", 8), f16("blk.x.a", 8), f16("v.blk.9.a", 8)])
    )
    assert [layer.weights_bytes for layer in layers_of(read_gguf(path))] == [0, 0, 16]


def test_a_lying_count_of_layers_stays_harmless(path: Path) -> None:
    assert len(layers_of(read(path, "llama", block_count=2**32 - 1))) == MAX_LAYERS


@pytest.mark.parametrize(
    ("architecture", "metadata", "kv_elements"),
    [
        ("llama", {"attention__head_count_kv": None}, [128] * 6),
        ("llama", {"attention__key_length": 100, "attention__value_length": 28}, [256] * 6),
        ("bert", {"attention__causal": False}, [0] * 6),
        ("lfm2", {"attention__head_count_kv": [0, 0, 2, 0, 0, 1]}, [0, 0, 64, 0, 0, 32]),
        ("llama", {"attention__head_count_kv": [2]}, [64] * 6),
        ("llama", {"attention__head_count_kv": [2, 2]}, [64, 64, 0, 0, 0, 0]),
        ("llama", {"attention__head_count_kv": (ValueType.INT32, -7)}, [0] * 6),
        ("qwen3next", {"full_attention_interval": 3}, [0, 0, 64, 0, 0, 64]),
        (
            "deepseek2",
            {"attention__key_length": 576, "attention__value_length": 512, "attention__key_length_mla": 192,
             "attention__head_count_kv": 1},
            [576] * 6,
        ),
        ("llama", {"attention__head_count": 0, "attention__head_count_kv": 2}, [0] * 6),
    ],
)  # fmt: skip
def test_what_a_token_leaves_in_each_layer(
    path: Path, architecture: str, metadata: dict[str, Any], kv_elements: list[int]
) -> None:
    layers = layers_of(read(path, architecture, **metadata))
    assert [layer.kv_elements for layer in layers] == kv_elements


@pytest.mark.parametrize(
    ("architecture", "metadata", "windows"),
    [
        ("llama", {"attention__sliding_window": 512}, [0] * 6),
        ("gemma2", {"attention__sliding_window": 512}, [512, 0] * 3),
        ("gemma3", {"attention__sliding_window": 512}, [512] * 5 + [0]),
        ("gemma3", {}, [0] * 6),
        ("llama4", {}, [8192, 8192, 8192, 0, 8192, 8192]),
        ("phi9", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 3}, [512, 512, 0] * 2),
        (
            "gemma4",
            {
                "attention__sliding_window": 512,
                "attention__sliding_window_pattern": numbers(ValueType.BOOL, True, False, True),
            },
            [512, 0, 512, 0, 0, 0],
        ),
    ],
)
def test_which_layers_see_only_a_window(
    path: Path, architecture: str, metadata: dict[str, Any], windows: list[int]
) -> None:
    assert [layer.window for layer in layers_of(read(path, architecture, **metadata))] == windows


@pytest.mark.parametrize(
    ("architecture", "metadata", "state"),
    [
        ("llama", {}, 0),
        (
            "mamba",
            {"attention__head_count": 0, "attention__head_count_kv": 0, "ssm__inner_size": 128, "ssm__state_size": 16,
             "ssm__conv_kernel": 4},
            3 * 128 + 16 * 128,
        ),
        ("falcon-h1", {"ssm__inner_size": 8, "ssm__state_size": 2, "ssm__conv_kernel": 3, "ssm__group_count": 1}, 40),
        ("lfm2", {"attention__head_count_kv": 0, "shortconv__l_cache": 3}, 128),
        ("rwkv7", {"attention__head_count_kv": 0, "wkv__head_size": 8}, 640),
    ],
)  # fmt: skip
def test_layers_without_attention_keep_a_state(
    path: Path, architecture: str, metadata: dict[str, Any], state: int
) -> None:
    assert layers_of(read(path, architecture, **metadata))[0].state_elements == state
