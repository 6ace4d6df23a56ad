"""gpt-oss: experts of four bits, kept as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from models.create.convert.architectures.base import Architecture, Named, Tensors
from models.create.convert.keys import Keys
from models.create.convert.numbers import MXFP4, U8, Array
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

BLOCKS: Final = "_blocks"
SCALES: Final = "_scales"
BLOCK_BYTES: Final = 16
"""Of 32 numbers, besides their scale."""


class GptOss(Architecture):
    """gpt-oss."""

    name = "gpt-oss"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("attention.sliding_window", self.config.integer("sliding_window"))
        keys.uint32("expert_feed_forward_length", self.config.integer("intermediate_size"))

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        return f"{new}.weight" if new and "sinks" in new else new

    def tensors(self) -> Tensors:
        """Blocks and their scales as one."""
        found = dict(super().tensors())
        for name in [name for name in found if name.endswith(BLOCKS)]:
            scales = found.pop(name.removesuffix(BLOCKS) + SCALES, None)
            if scales is None:
                raise CreateFailed(f"{name} has no scales")
            found[name.removesuffix(BLOCKS)] = four_bit_tensor(found.pop(name), scales)
        return found

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        stem, is_bias = name.removesuffix("_bias"), name.endswith("_bias")
        suffix = ".bias" if is_bias else ".weight"
        if not stem.endswith(("experts.down_proj", "experts.gate_up_proj")):
            yield name, tensor
            return
        if not is_bias and tensor.kind != MXFP4:
            tensor = tensor.transposed()
        if stem.endswith("experts.down_proj"):
            yield stem + suffix, tensor
            return
        # Rows of gate and up take turns; a bias has no further dimension.
        for part, start in (("gate_proj", 0), ("up_proj", 1)):
            yield stem.replace("gate_up_proj", part) + suffix, tensor.moved(_every_second(start, is_bias=is_bias))


def _every_second(start: int, *, is_bias: bool) -> Callable[[Array], Array]:
    def take(array: Array) -> Array:
        return array[..., start::2] if is_bias else array[:, start::2]

    return take


def four_bit_tensor(blocks: Tensor, scales: Tensor) -> Tensor:
    """Blocks of 32 numbers, pairs in a byte, with a scale each → ggml's: scale first, halves of the block in a byte."""
    if blocks.kind != U8 or scales.kind != U8 or blocks.shape[:-1] != scales.shape or blocks.shape[-1] != BLOCK_BYTES:
        raise CreateFailed("blocks of four bits that do not fit their scales")

    def load() -> Array:
        return _repacked(blocks.load(), scales.load())

    return Tensor(MXFP4, (*scales.shape[:-1], scales.shape[-1] * (BLOCK_BYTES + 1)), (load,))


def _repacked(blocks: Array, scales: Array) -> Array:
    out = np.empty((*scales.shape, BLOCK_BYTES + 1), np.uint8)
    out[..., 0] = scales
    low, high = blocks & 0x0F, blocks >> 4  # numbers 0, 2, 4, … and 1, 3, 5, …
    # Number i and number i + 16 share a byte: number 2k is low[k], number 2k + 1 is high[k].
    out[..., 1::2] = low[..., :8] | (low[..., 8:] << 4)
    out[..., 2::2] = high[..., :8] | (high[..., 8:] << 4)
    return out.reshape(*scales.shape[:-1], -1)
