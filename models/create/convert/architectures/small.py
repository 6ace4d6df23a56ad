"""Architectures of which there is little to say."""

from __future__ import annotations

from models.create.convert.architectures.base import Architecture
from models.create.convert.config import Config
from models.create.convert.keys import Keys


class CommandR(Architecture):
    """Command R."""

    name = "command-r"

    def configured(self, config: Config) -> Config:
        found = super().configured(config)
        # What stands in max_position_embeddings is less than the model was made for.
        n_ctx = found.integer("model_max_length", "max_position_embeddings")
        return found.with_members({"max_position_embeddings": n_ctx})

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.float32("logit_scale", self.config.number("logit_scale"))
        keys.text("rope.scaling.type", "none")


class Olmo2(Architecture):
    """OLMo 2 and 3."""

    name = "olmo2"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        window = self.config.find_integer("sliding_window")
        if window is None:
            return
        keys.uint32("attention.sliding_window", window)
        kinds = self.config.find_list("layer_types")
        if kinds is not None:
            windowed = [kind == "sliding_attention" for kind in kinds]
        else:
            windowed = [(block + 1) % 4 != 0 for block in range(self.n_blocks)]
        keys.array("attention.sliding_window_pattern", windowed)
