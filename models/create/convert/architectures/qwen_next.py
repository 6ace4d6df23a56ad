"""Qwen with linear attention in most layers: Qwen3-Next, Qwen 3.5."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import numpy as np

from models.create.convert.architectures.base import Named, plus_one
from models.create.convert.architectures.qwen import Qwen2Moe
from models.create.convert.keys import Keys
from models.create.convert.naming import NEXTN_NAMES
from models.create.convert.numbers import Array
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

MTP_NAMES: Final = {
    "fc": "eh_proj",
    "pre_fc_norm_embedding": "enorm",
    "pre_fc_norm_hidden": "hnorm",
    "norm": "shared_head.norm",
}
"""Tensors of the head that guesses the token after the next; they become a layer behind the last one."""

_MTP_LAYER = re.compile(r"mtp\.layers\.(\d{1,4})\.(.*)")
_MTP_OTHER = re.compile(r"mtp\.([a-z_]+)\.([a-z]+)")

QWEN35_SECTIONS: Final = (11, 11, 10, 0)


class Qwen3Next(Qwen2Moe):
    """Qwen3-Next."""

    name = "qwen3next"
    extra_names = NEXTN_NAMES

    @property
    def n_layers(self) -> int:
        """Layers without those that guess ahead."""
        return self.config.size("num_hidden_layers")

    @cached_property
    def n_blocks(self) -> int:
        names = self.files.stored_tensors()
        ahead = [int(m[1]) + 1 for name in names if (m := _MTP_LAYER.fullmatch(name.removeprefix("model.")))]
        return self.n_layers + (self.config.find_integer("mtp_num_hidden_layers") or max(ahead, default=0))

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        keys.uint32("ssm.conv_kernel", config.integer("linear_conv_kernel_dim"))
        keys.uint32("ssm.state_size", config.integer("linear_key_head_dim"))
        keys.uint32("ssm.group_count", config.integer("linear_num_key_heads"))
        keys.uint32("ssm.time_step_rank", config.integer("linear_num_value_heads"))
        keys.uint32(
            "ssm.inner_size", config.integer("linear_value_head_dim") * config.integer("linear_num_value_heads")
        )
        if (kinds := config.find_list("layer_types")) is not None:
            if len(kinds) != self.n_layers:
                raise CreateFailed(f"layer_types has {len(kinds)} entries, expected {self.n_layers}")
            recurrent = [kind == "linear_attention" for kind in kinds]
            keys.array("attention.recurrent_layers", recurrent + [False] * (self.n_blocks - self.n_layers))
        keys.uint32("full_attention_interval", config.find_integer("full_attention_interval") or 4)
        part = self.rope.find_number("partial_rotary_factor")
        keys.uint32("rope.dimension_count", int(self.head_size * (0.25 if part is None else part)))
        if self.n_blocks > self.n_layers:
            keys.uint32("nextn_predict_layers", self.n_blocks - self.n_layers)

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        if new is None:
            return None
        short = new.removeprefix("model.")
        if layer := _MTP_LAYER.fullmatch(short):
            return f"model.layers.{self.n_layers + int(layer[1])}.{layer[2]}"
        if (other := _MTP_OTHER.fullmatch(short)) and other[1] in MTP_NAMES:
            return f"model.layers.{self.n_layers}.{MTP_NAMES[other[1]]}.{other[2]}"
        return new

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name.endswith(".A_log"):
            tensor = tensor.computed(lambda array: -np.exp(array.astype(np.float64)))
        elif name.endswith(".dt_bias"):
            name = name.removesuffix(".dt_bias") + ".dt_proj.bias"
        elif "conv1d" in name:
            tensor = tensor.squeezed()
        elif name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            tensor = plus_one(tensor)
        if "in_proj_qkvz.weight" in name:
            yield from self._split(tensor, block)
        else:
            yield from super().transformed(name, tensor, block)

    def _split(self, tensor: Tensor, block: int | None) -> Iterator[Named]:
        """Queries, keys, values and gates stand together by head; they shall stand together by what they are."""
        config = self.config
        n_heads, key = config.size("linear_num_key_heads"), config.size("linear_key_head_dim")
        value = config.size("linear_num_value_heads") // n_heads * config.size("linear_value_head_dim")
        ends = np.cumsum([key, key, value, value])

        def part(start: int, end: int) -> Callable[[Array], Array]:
            def take(array: Array) -> Array:
                heads = array.reshape(n_heads, -1, array.shape[-1])
                return heads[:, start:end].reshape(-1, array.shape[-1])

            return take

        def qkv(array: Array) -> Array:
            bounds = ((0, ends[0]), (ends[0], ends[1]), (ends[1], ends[2]))
            return np.concatenate([part(start, end)(array) for start, end in bounds])

        yield f"blk.{block}.attn_qkv.weight", tensor.moved(qkv)
        yield f"blk.{block}.attn_gate.weight", tensor.moved(part(ends[2], ends[3]))


class Qwen35(Qwen3Next):
    """Qwen 3.5: fewer heads for keys than for values, these in the order that ggml repeats keys in."""

    name = "qwen35"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        if not self.rope.has("mrope_section"):
            keys.array("rope.dimension_sections", QWEN35_SECTIONS)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "linear_attn." in name and self._n_keys != self._n_values:
            tensor = self._reordered(name, tensor)
        yield from super().transformed(name, tensor, block)

    @property
    def _n_keys(self) -> int:
        return self.config.find_integer("linear_num_key_heads") or 0

    @property
    def _n_values(self) -> int:
        return self.config.find_integer("linear_num_value_heads") or 0

    def _reordered(self, name: str, tensor: Tensor) -> Tensor:
        value = self.config.size("linear_value_head_dim")
        n_before = 2 * self.config.size("linear_key_head_dim") * self._n_keys
        if ".in_proj_qkv." in name:
            return tensor.moved(lambda array: self._tiled(array, 0, value, n_before))
        if ".conv1d" in name:
            return tensor.squeezed().moved(lambda array: self._tiled(array, 0, value, n_before))
        if ".in_proj_z." in name:
            return tensor.moved(lambda array: self._tiled(array, 0, value))
        if any(part in name for part in (".in_proj_a.", ".in_proj_b.", ".A_log", ".dt_bias", ".dt_proj")):
            return tensor.moved(lambda array: self._tiled(array, 0, 1))
        if ".out_proj." in name:
            return tensor.moved(lambda array: self._tiled(array, 1, value))
        return tensor

    def _tiled(self, array: Array, axis: int, size: int, n_before: int = 0) -> Array:
        """The heads of values along an axis, from `n_before` on: by key first → by place within their key first."""
        n_keys, per_key = self._n_keys, self._n_values // max(self._n_keys, 1)
        heads = np.arange(n_keys * per_key * size).reshape(n_keys, per_key, size).swapaxes(0, 1).reshape(-1)
        order = np.concatenate([np.arange(n_before), heads + n_before])
        if array.shape[axis] != len(order):
            raise ValueError("heads that do not fit")
        result: Array = array.take(order, axis)
        return result


class Qwen35Moe(Qwen35):
    """Qwen 3.5 of experts."""

    name = "qwen35moe"
