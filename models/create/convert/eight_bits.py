"""Weights of eight bits with a scale for each block of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.numbers import F8_E4M3, F32, FROM_F8, Array, to_floats
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

SCALES: Final = "_scale_inv"
UNUSED: Final = (".activation_scale", "_activation_scale")


def has_eight_bits(config: Config) -> bool:
    """Whether the weights are of eight bits, each block with its scale."""
    return config.object("quantization_config").find_text("quant_method") == "fp8"


def add_source(keys: Keys, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Which tensors of the file had eight bits, if any; nothing for those that had not.

    # Compat: registry-store-cli 6.6.
    """
    names = sorted(name for name, tensor in tensors if tensor.kind == FROM_F8)
    if names:
        keys.text("source_quantization", "hf_fp8")
        keys.array("source_fp8_tensors", names)


def dequantized(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The tensors with scales applied, and without the scales. Raises: CreateFailed for quantisations not known."""
    quantization = config.object("quantization_config")
    method = quantization.find_text("quant_method")
    if method in (None, "mxfp4"):  # the latter is an architecture's own business
        return tensors
    if method != "fp8":
        raise CreateFailed(f"Quant method is not yet supported: {method}")
    block = quantization.integers("weight_block_size")
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith((SCALES, *UNUSED))}
    for name, scale in tensors.items():
        if name.endswith(SCALES):
            weight = name.removesuffix(SCALES)
            if weight not in found:
                raise CreateFailed(f"{name} is the scale of nothing")
            found[weight] = _scaled(found[weight], scale, block)
    return found


def _scaled(weight: Tensor, scale: Tensor, block: list[int]) -> Tensor:
    if len(block) > scale.n_dims or any(size <= 0 for size in block):
        raise CreateFailed("scales that do not fit their weights")
    blocks = (1,) * (scale.n_dims - len(block)) + tuple(block)
    if block and any(n * size < of for n, size, of in zip(scale.shape, blocks, weight.shape, strict=True)):
        raise CreateFailed("scales that do not fit their weights")

    def load() -> Array:
        scales = to_floats(scale.load(), scale.kind).astype(np.float32)
        if block:
            for axis, size in enumerate(blocks):
                scales = scales.repeat(size, axis)
            scales = scales[tuple(slice(0, n) for n in weight.shape)]
        scales = scales.reshape(scales.shape + (1,) * (weight.n_dims - scales.ndim))
        result: Array = to_floats(weight.load(), weight.kind).astype(np.float32) * scales
        return result

    return Tensor(FROM_F8 if weight.kind == F8_E4M3 else F32, weight.shape, (load,))
