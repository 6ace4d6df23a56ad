from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.create.convert import eight_bits
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


def test_a_large_tensor_is_never_whole_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [((7, 3), (3, 2), (3, 2)), ((7, 3), (7, 1), ()), ((7, 3), (1, 1), ()), ((7,), (7,), ()), ((7, 3), (), ())]
    whole = [scaled(weight, scales, *block) for weight, scales, block in cases]
    monkeypatch.setattr(eight_bits, "CHUNK_ELEMENTS", 6)
    for (weight, scales, block), wanted in zip(cases, whole, strict=True):
        np.testing.assert_array_equal(scaled(weight, scales, *block), wanted)
    tensors = {"a.weight": Tensor.of(np.ones((7, 3))), "a.weight_scale_inv": Tensor.of(np.ones(1))}
    (found,) = dequantized(tensors, Config({"quantization_config": {"quant_method": "fp8"}})).values()
    assert [part().shape for part in found.parts] == [(2, 3), (2, 3), (2, 3), (1, 3)]


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
