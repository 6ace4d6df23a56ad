"""DeepSeek-OCR: DeepSeek's experts with usual attention; it sees with two towers, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.create.convert.architectures.base import Architecture, Named
from models.create.convert.architectures.deepseek import DeepSeek2
from models.create.convert.architectures.projectors import Projector
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.naming import NamedTensor
from models.create.convert.numbers import F32, Kind
from models.create.convert.tensors import Tensor

TEMPLATE: Final = "{% for m in messages %}{{m['content']}}{% endfor %}"
"""A model that only reads pages was published without one; llama.cpp's converter gives it this."""

MIN_TILES: Final = 2
MAX_TILES: Final = 9
"""Into how many parts a large picture is cut."""


class DeepSeekOcr(DeepSeek2):
    """DeepSeek-OCR, the part that reads and writes."""

    name = "deepseek2-ocr"

    def configured(self, config: Config) -> Config:
        return Architecture.configured(self, config).with_defaults({"rms_norm_eps": 1e-6})

    def _add_heads(self, keys: Keys) -> None:
        keys.uint32("rope.dimension_count", self.config.integer("qk_rope_head_dim"))
        if size := self.config.find_integer("sliding_window_size", "sliding_window"):
            keys.uint32("attention.sliding_window", size)

    def add_vocabulary(self, keys: Keys) -> None:
        super().add_vocabulary(keys)
        if "tokenizer.chat_template" not in keys:
            keys.text("tokenizer.chat_template", TEMPLATE)

    def renamed(self, name: str) -> str | None:
        return None if "sam_model" in name else super().renamed(name)


class DeepSeekOcrVision(Projector):
    """What DeepSeek-OCR sees with: SAM, and behind it CLIP."""

    kind = "deepseekocr"

    def configured(self, config: Config) -> Config:
        vision = super().configured(config)
        towers = vision.object("width")
        clip = towers.object("clip-l-14-224")
        n_ff = clip.size("heads") * 4  # as upstream writes it: llama.cpp goes by the tensors
        return vision.with_members(
            {**clip.members, "intermediate_size": n_ff, "sam": towers.object("sam_vit_b").members}
        )

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config, sam = self.config, self.config.object("sam")
        eps = config.find_number("layer_norm_eps")
        keys.float32("vision.attention.layer_norm_epsilon", 1e-6 if eps is None else eps)
        keys.flag("use_gelu", True)
        self._add_scale(keys)
        keys.uint32("vision.window_size", config.find_integer("window_size") or 14)
        keys.uint32("vision.preproc_min_tiles", MIN_TILES)
        keys.uint32("vision.preproc_max_tiles", MAX_TILES)
        keys.uint32("vision.sam.block_count", sam.size("layers"))
        keys.uint32("vision.sam.embedding_length", sam.size("width"))
        keys.uint32("vision.sam.head_count", sam.size("heads"))

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        exact = (".embeddings.", "pos_embed", ".rel_pos_h", ".rel_pos_w", ".neck.", ".net_")
        return F32 if any(part in name for part in exact) else super().precision(name, named, main)

    def renamed(self, name: str) -> str | None:
        if name.startswith(("lm_head.", "model.embed_tokens.", "model.layers.", "model.norm.")):
            return None
        return super().renamed(f"{name}.weight" if name.endswith(("pos_embed", "rel_pos_h", "rel_pos_w")) else name)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        yield name, tensor.reshaped(1, -1) if name.endswith("view_seperator") else tensor
