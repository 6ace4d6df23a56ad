"""GLM-OCR: the part that reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np

from models.create.convert.architectures.base import N_HEAD, N_HEAD_KV, Architecture, Named
from models.create.convert.architectures.deepseek import add_glm_vocabulary
from models.create.convert.keys import Keys
from models.create.convert.naming import NEXTN_NAMES
from models.create.convert.numbers import Array
from models.create.convert.tensors import Tensor

SPECIAL: Final = {"eos": "<|endoftext|>", "eot": "<|user|>", "unk": "<|endoftext|>", "bos": "<|endoftext|>"}


class Glm4(Architecture):
    """GLM 4; with positions in pictures, the rotated part of a head is in another order."""

    name = "glm4"
    extra_names = NEXTN_NAMES

    @cached_property
    def n_blocks(self) -> int:
        return self.config.size("num_hidden_layers")

    @property
    def _rotated_part(self) -> float:
        part = self.rope.find_number("partial_rotary_factor")
        return 0.5 if part is None else part

    def add_vocabulary(self, keys: Keys) -> None:
        add_glm_vocabulary(self, keys, SPECIAL)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("rope.dimension_count", int(self.head_size * self._rotated_part))

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if self.rope.has("mrope_section") and name.endswith(("q_proj.weight", "q_proj.bias")):
            tensor = self._halved(tensor, self.config.size(*N_HEAD))
        elif self.rope.has("mrope_section") and name.endswith(("k_proj.weight", "k_proj.bias")):
            tensor = self._halved(tensor, self.config.size(*N_HEAD_KV))
        yield name, tensor

    def _halved(self, tensor: Tensor, n_heads: int) -> Tensor:
        """Of the rotated rows of each head: the first of each pair, then the second of each."""
        n_rotated = int(self.head_size * self._rotated_part)

        def change(array: Array) -> Array:
            heads = array.reshape(n_heads, self.head_size, -1)
            order = [*range(0, n_rotated, 2), *range(1, n_rotated, 2), *range(n_rotated, self.head_size)]
            result: Array = heads[:, np.array(order)].reshape(array.shape)
            return result

        return tensor.moved(change)


class GlmOcr(Glm4):
    """GLM-OCR, with layers that guess ahead."""

    @cached_property
    def n_blocks(self) -> int:
        return self.config.size("num_hidden_layers") + (self.config.find_integer("num_nextn_predict_layers") or 0)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        if (n_ahead := self.config.find_integer("num_nextn_predict_layers")) is not None:
            keys.uint32("nextn_predict_layers", n_ahead)
