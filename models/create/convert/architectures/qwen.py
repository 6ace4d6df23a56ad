"""Qwen."""

from __future__ import annotations

from collections.abc import Iterator

from models.create.convert.architectures.base import Architecture, Named
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor


class Qwen2(Architecture):
    """Qwen 1.5 to 2.5."""

    name = "qwen2"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        self.add_pooling(keys)

    def add_vocabulary(self, keys: Keys) -> None:
        if self.has_sentencepiece:
            self.add_sentencepiece(keys)
        else:
            self.add_byte_pairs(keys)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        bare = self.config.architecture in ("Qwen2Model", "Qwen3Model")
        yield f"model.{name}" if bare else name, tensor


class Qwen3(Qwen2):
    """Qwen 3."""

    name = "qwen3"


class Qwen2Moe(Architecture):
    """Qwen 2 of experts."""

    name = "qwen2moe"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        if (n_ff := self.config.find_integer("moe_intermediate_size")) is not None:
            keys.uint32("expert_feed_forward_length", n_ff)
        if (n_ff := self.config.find_integer("shared_expert_intermediate_size")) is not None:
            keys.uint32("expert_shared_feed_forward_length", n_ff)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        stem = name.removesuffix(".weight")
        if stem.endswith("mlp.experts.down_proj"):
            yield f"{stem}.weight", tensor
        elif stem.endswith("mlp.experts.gate_up_proj"):
            n_ff = tensor.shape[-2] // 2
            base = stem.removesuffix(".gate_up_proj")
            yield f"{base}.gate_proj.weight", tensor.moved(lambda array: array[..., :n_ff, :])
            yield f"{base}.up_proj.weight", tensor.moved(lambda array: array[..., n_ff:, :])
        else:
            yield name, tensor


class Qwen3Moe(Qwen2Moe):
    """Qwen 3 of experts."""

    name = "qwen3moe"
