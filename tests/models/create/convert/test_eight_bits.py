from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.create.convert.config import Config
from models.create.convert.eight_bits import dequantized
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed


def scaled(weight: tuple[int, ...], scales: tuple[int, ...], *block: int) -> np.ndarray:
    """Ones, with scales of 0, 1, 2 and so on."""
    quantization = {"quant_method": "fp8", "weight_block_size": list(block) or None}
    tensors = {
        "a.weight": Tensor.of(np.ones(weight)),
        "a.weight_scale_inv": Tensor.of(np.arange(np.prod(scales, dtype=int)).reshape(scales)),
    }
    found = dequantized(tensors, Config({"quantization_config": quantization}))
    return found["a.weight"].load()


def test_each_number_is_scaled_with_its_block() -> None:
    assert scaled((3, 3), (2, 2), 2, 2).tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3]]
    assert scaled((2, 2, 2), (2, 1, 2), 2, 1).tolist() == [[[0, 1], [0, 1]], [[2, 3], [2, 3]]]
    assert scaled((2, 3), (2, 1)).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert scaled((2, 3), (2,)).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert scaled((2, 2), ()).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("weight", "scales", "block"),
    [
        ((4, 4), (1, 2), (2, 2)),
        ((4, 4), (2,), (2, 2)),
        ((4,), (2, 2), (2, 2)),
        ((4, 4), (2, 2), (2, 0)),
        ((4, 4), (3, 1), ()),
        ((4,), (4, 1), ()),
    ],
)
def test_scales_that_do_not_fit_are_refused(
    weight: tuple[int, ...], scales: tuple[int, ...], block: tuple[int, ...]
) -> None:
    with pytest.raises(CreateFailed, match=r"^scales that do not fit their weights$"):
        scaled(weight, scales, *block)


GROUP = {"weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quant_method": "gptq"}, "gptq"),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, r"modelopt \(NVFP4\)"),
    ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, r"compressed-tensors \(pack-quantized\)"),
    (
        {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"a": GROUP, "b": GROUP}},
        r"compressed-tensors \(several groups\)",
    ),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "float-quantized",
            "config_groups": {"a": {"weights": {"strategy": "group"}}},
        },
        r"compressed-tensors \(group\)",
    ),
]


@pytest.mark.parametrize(("quantization", "text"), REFUSED)
def test_quantizations_that_are_not_known_are_refused(quantization: dict[str, Any], text: str) -> None:
    with pytest.raises(CreateFailed, match=rf"^Quant method is not yet supported: {text}$"):
        dequantized({}, Config({"quantization_config": quantization}))


def test_a_scale_of_nothing_is_refused() -> None:
    config = Config({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}})
    with pytest.raises(CreateFailed, match=r"^a\.weight_scale is the scale of nothing$"):
        dequantized({"a.weight_scale": Tensor.of(np.ones(1))}, config)


def test_what_is_only_called_a_scale_stays() -> None:
    config = Config({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}})
    assert list(dequantized({"router.per_expert_scale": Tensor.of(np.ones(1))}, config)) == ["router.per_expert_scale"]
