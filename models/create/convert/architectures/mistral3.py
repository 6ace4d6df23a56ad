"""Mistral 3 and Ministral 3: the part that reads and writes."""

from __future__ import annotations

from models.create.convert.architectures.llama import Llama
from models.create.convert.keys import Keys
from models.errors import CreateFailed


class Mistral3(Llama):
    """Mistral Small 3.1 and later, Ministral 3."""

    name = "mistral3"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        if self.config.text("model_type") != "ministral3":
            return
        if self.rope.text("rope_type") != "yarn":
            raise CreateFailed("ministral3 rope_type must be 'yarn'")
        keys.float32("rope.scaling.yarn_log_multiplier", self.rope.number("mscale_all_dim"))
        keys.float32("attention.temperature_scale", self.rope.number("llama_4_scaling_beta"))
