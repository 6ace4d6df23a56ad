"""Qwen that sees: the part that reads and writes."""

from __future__ import annotations

from collections.abc import Iterator

from models.create.convert.architectures.base import Named
from models.create.convert.architectures.qwen import Qwen2, Qwen3, Qwen3Moe
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor


class Qwen2Vl(Qwen2):
    """Qwen 2 VL and 2.5 VL."""

    name = "qwen2vl"


class Qwen3Vl(Qwen3):
    """Qwen 3 VL."""

    name = "qwen3vl"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        seen = self.config.object("vision_config").find_list("deepstack_visual_indexes") or []
        keys.uint32("n_deepstack_layers", len(seen))


class Qwen3VlMoe(Qwen3Moe):
    """Qwen 3 VL of experts, which are stored the other way round."""

    name = "qwen3vlmoe"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        seen = self.config.object("vision_config").find_list("deepstack_visual_indexes") or []
        keys.uint32("n_deepstack_layers", len(seen))

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        stem = name.removesuffix(".weight")
        if stem.endswith(("mlp.experts.down_proj", "mlp.experts.gate_up_proj")) and ".experts." in stem:
            tensor = tensor.transposed()
        yield from super().transformed(name, tensor, block)
