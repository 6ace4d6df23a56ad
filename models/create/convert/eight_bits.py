"""Weights of eight bits with scales: for each block of them, for each row, for all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.numbers import CHUNK_ELEMENTS, F8_E4M3, F8_E5M2, F32, FROM_F8, Array, to_floats
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

WHOLE_NUMBERS: Final = ("float-quantized", "int-quantized", "naive-quantized")
"""Formats of compressed-tensors that have a number in each place, not several packed into one."""

STRATEGIES: Final = ("tensor", "channel", "block")


@dataclass(frozen=True, slots=True)
class Scheme:
    """How weights are stored: scales are called like their weight, with `suffix`, so that they end in `ending`.

    Each is for a `block` of numbers; without such, for a whole row or for everything. `unused`: endings of tensors that
    nobody reads.
    """

    suffix: str
    ending: str
    block: tuple[int, ...]
    unused: tuple[str, ...]


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
    scheme = _scheme(config.object("quantization_config"))
    if scheme is None:
        return tensors
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith((scheme.ending, *scheme.unused))}
    for name, scale in tensors.items():
        if name.endswith(scheme.ending):
            weight = name.removesuffix(scheme.suffix)
            if weight not in found:
                raise CreateFailed(f"{name} is the scale of nothing")
            found[weight] = _scaled(found[weight], scale, scheme.block)
    return found


def _scheme(quantization: Config) -> Scheme | None:
    """Source: dequant_model in conversion/base.py of llama.cpp, as far as places hold numbers of eight bits."""
    match method := quantization.find_text("quant_method"):
        case None | "mxfp4":  # the latter is an architecture's own business
            return None
        case "fp8":
            block = tuple(quantization.integers("weight_block_size"))
            return Scheme("_scale_inv", "_scale_inv", block, (".activation_scale", "_activation_scale"))
        case "compressed-tensors" if quantization.text("format") in WHOLE_NUMBERS:
            return Scheme(
                "_scale", ".weight_scale", _block_of_group(quantization), (".input_scale", ".k_scale", ".v_scale")
            )
        case "modelopt" if quantization.text("quant_algo") == "FP8":
            return Scheme("_scale", ".weight_scale", (), (".input_scale", ".k_scale", ".v_scale"))
    kind = quantization.text("format") or quantization.text("quant_algo")
    raise CreateFailed(f"Quant method is not yet supported: {method}{f' ({kind})' if kind else ''}")


def _block_of_group(quantization: Config) -> tuple[int, ...]:
    """What the one group of compressed-tensors says of its weights."""
    groups = quantization.object("config_groups")
    if len(groups.members) != 1:
        raise CreateFailed("Quant method is not yet supported: compressed-tensors (several groups)")
    weights = groups.object(next(iter(groups.members))).object("weights")
    if weights.text("strategy") not in STRATEGIES:
        raise CreateFailed(f"Quant method is not yet supported: compressed-tensors ({weights.text('strategy')})")
    return tuple(weights.integers("block_structure"))


def _scaled(weight: Tensor, scale: Tensor, block: tuple[int, ...]) -> Tensor:
    blocks = (1,) * (scale.n_dims - len(block)) + block
    fits = scale.n_dims == len(blocks) == weight.n_dims if block else scale.n_dims <= weight.n_dims
    if not fits or any(size <= 0 for size in block):
        raise CreateFailed("scales that do not fit their weights")
    for n, size, of in zip(scale.shape, blocks, weight.shape, strict=False):
        if n * size < of if block else n not in (1, of):
            raise CreateFailed("scales that do not fit their weights")
    rows = weight.shape[0] if weight.shape else 1
    step = max(CHUNK_ELEMENTS // max(math.prod(weight.shape[1:]), 1), 1)
    parts = tuple(partial(_rows, weight, scale, blocks, slice(at, min(at + step, rows))) for at in range(0, rows, step))
    return Tensor(FROM_F8 if weight.kind in (F8_E4M3, F8_E5M2) else F32, weight.shape, parts)


def _rows(weight: Tensor, scale: Tensor, blocks: tuple[int, ...], rows: slice) -> Array:
    """A range of the first dimension, scaled: a large tensor is never whole in float32."""
    numbers = to_floats(weight.load().reshape(weight.shape or (1,))[rows], weight.kind)
    scales = to_floats(scale.load(), scale.kind).astype(np.float32).reshape(scale.shape)
    if scales.ndim and scales.shape[0] > 1:
        scales = scales[np.arange(rows.start, rows.stop) // blocks[0]]
    for axis, size in enumerate(blocks[1:], start=1):
        scales = scales.repeat(size, axis)[(slice(None),) * axis + (slice(numbers.shape[axis]),)]
    scaled: Array = numbers * scales.reshape(scales.shape + (1,) * (numbers.ndim - scales.ndim))
    return scaled
