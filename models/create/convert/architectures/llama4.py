"""Llama 4: the part that reads and writes."""

from __future__ import annotations

from collections.abc import Iterator

from models.create.convert.architectures.base import Named
from models.create.convert.architectures.llama import Llama
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor


class Llama4(Llama):
    """Llama 4."""

    name = "llama4"
    permutes = False

    def configured(self, config: Config) -> Config:
        # What is called intermediate_size is that of the experts.
        found = super().configured(config)
        return found.with_members(
            {
                "intermediate_size_moe": found.integer("intermediate_size"),
                "intermediate_size": found.integer("intermediate_size_mlp"),
            }
        )

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("interleave_moe_layer_step", self.config.integer("interleave_moe_layer_step"))
        keys.uint32("expert_feed_forward_length", self.config.integer("intermediate_size_moe"))
        kinds = self.config.find_list("layer_types")
        if kinds is not None and all(kind == "full_attention" for kind in kinds):
            keys.uint32("attention.sliding_window", 0)

    def add_vocabulary(self, keys: Keys) -> None:
        self.add_byte_pairs(keys)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "gate_up_proj" in name:
            half = tensor.shape[-1] // 2
            both = tensor.transposed()
            yield name.replace("gate_up_proj", "gate_proj.weight"), both.moved(lambda array: array[..., :half, :])
            yield name.replace("gate_up_proj", "up_proj.weight"), both.moved(lambda array: array[..., half:, :])
        elif name.endswith("down_proj"):
            yield f"{name}.weight", tensor.transposed()
        else:
            yield name, tensor
