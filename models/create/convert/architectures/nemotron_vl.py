"""What Nemotron Nano VL sees with: RADIO, a transformer of one size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from models.create.convert.architectures.base import Named
from models.create.convert.architectures.projectors import Projector
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.numbers import Array
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

RADIO: Final = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
}
"""Sizes that no configuration tells."""

COLOURS: Final = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
IMAGE_SIZE: Final = 512
MAX_SIDE: Final = 1024
"""Patches along a side: eight times what any model has."""


class RadioVision(Projector):
    """Nemotron Nano VL 2."""

    kind = "nemotron_v2_vl"

    def configured(self, config: Config) -> Config:
        side = self.files.config.find_integer("force_image_size") or IMAGE_SIZE
        return super().configured(config).with_members({**RADIO, "image_size": side})

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.float32("vision.attention.layer_norm_epsilon", 1e-6)
        keys.flag("use_gelu", True)
        ratio = self.files.config.find_number("downsample_ratio")
        ratio = 0.5 if ratio is None else ratio
        if not 0 < ratio <= 1:
            raise CreateFailed(f"downsample_ratio is {ratio}")
        keys.uint32("vision.projector.scale_factor", int(1.0 / ratio))

    def _spread_of_colours(self, key: str) -> list[float]:
        return self._settings().numbers(key) or COLOURS[key]

    def renamed(self, name: str) -> str | None:
        if not name.startswith(("vision_model.radio_model.model.", "mlp1.")) or "video_embedder" in name:
            return None
        return f"{name}.weight" if name.endswith("patch_generator.pos_embed") else super().renamed(name)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "patch_generator.pos_embed" in name:
            tensor = self._at_size(tensor)
        elif "patch_generator.embedder" in name:
            patch = self.config.size("patch_size")
            tensor = tensor.reshaped(-1, 3, patch, patch)
        yield name, tensor

    def _at_size(self, positions: Tensor) -> Tensor:
        """Positions of the patches of the largest picture, brought to the one size that llama.cpp shows it."""
        wanted = self.config.size("image_size") // self.config.size("patch_size")
        n_embd = positions.shape[-1] if positions.shape else 0
        side = int((positions.n_elements // max(n_embd, 1)) ** 0.5)
        if not 0 < side <= MAX_SIDE or not 0 < wanted <= MAX_SIDE:
            raise CreateFailed(f"positions for {side} patches along a side, {wanted} wanted")
        grid = positions.reshaped(side, side, n_embd)
        if side == wanted:
            return positions
        return Tensor.lazy((1, wanted * wanted, n_embd), lambda: resized(grid.floats(), wanted))


def resized(grid: Array, side: int) -> Array:
    """A square grid of vectors with another number of them along each side; corners stay, between them it is linear."""
    at = np.linspace(0, grid.shape[0] - 1, side)
    before = at.astype(np.int64)
    after = np.minimum(before + 1, grid.shape[0] - 1)
    part = (at - before).astype(np.float32)
    rows = _between(grid[before].astype(np.float32), grid[after].astype(np.float32), part[:, None, None])
    return _between(rows[:, before], rows[:, after], part[None, :, None])


def _between(first: Array, second: Array, part: Array) -> Array:
    mixed: Array = (np.float32(1) - part) * first + part * second
    return mixed
