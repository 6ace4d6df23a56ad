"""LFM 2: short convolutions in most layers; what LFM 2 VL sees with."""

from __future__ import annotations

from collections.abc import Iterator

from models.create.convert.architectures.base import GATING, Architecture, Named
from models.create.convert.architectures.projectors import Projector
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed


class Lfm2(Architecture):
    """LFM 2."""

    name = "lfm2"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        keys.array("attention.head_count_kv", self._heads_for_keys())
        keys.uint32("vocab_size", config.integer("vocab_size"))
        keys.uint32("shortconv.l_cache", config.integer("conv_L_cache"))
        self._add_feed_forward(keys)

    def _heads_for_keys(self) -> list[int]:
        """None in a layer of convolution."""
        kinds, n_heads = self.config.find_list("layer_types"), self.config.integer("num_key_value_heads")
        if kinds is None and self.config.has("full_attn_idxs"):
            seeing_all = self.config.integers("full_attn_idxs")
            kinds = ["full_attention" if block in seeing_all else "conv" for block in range(self.n_blocks)]
        if kinds is None:
            raise CreateFailed("parse config.json: there is no layer_types")
        return [n_heads if kind == "full_attention" else 0 for kind in kinds]

    def _add_feed_forward(self, keys: Keys) -> None:
        config = self.config
        n_ff = config.size("block_ff_dim", "intermediate_size")
        if config.find_flag("block_auto_adjust_ff_dim") is not False:
            n_ff = int(2 * n_ff / 3)
            factor = config.find_number("block_ffn_dim_multiplier")
            n_ff = n_ff if factor is None else int(factor * n_ff)
            multiple = config.find_integer("block_multiple_of") or 256
            n_ff = multiple * -(-n_ff // multiple)
        keys.uint32("feed_forward_length", n_ff)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "conv.conv" in name and tensor.n_dims == 3:
            tensor = tensor.reshaped(tensor.shape[0], tensor.shape[1] * tensor.shape[2])
        yield name, tensor


class Lfm2Moe(Lfm2):
    """LFM 2 of experts."""

    name = "lfm2moe"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("expert_feed_forward_length", self.config.integer("moe_intermediate_size"))
        keys.uint32("leading_dense_block_count", self.config.integer("num_dense_layers"))
        keys.uint32("expert_gating_func", GATING["sigmoid"])

    def _add_feed_forward(self, keys: Keys) -> None:
        pass  # as it stands in the configuration

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        return f"{new}.bias" if new and new.endswith(".expert_bias") else new

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if ".feed_forward.experts." in name:
            name = name.removeprefix("model.")
        yield from super().transformed(name, tensor, block)


class Lfm2Vision(Projector):
    """LFM 2 VL."""

    kind = "lfm2"

    def configured(self, config: Config) -> Config:
        # Pictures of any size are seen; this one is llama.cpp's, as in upstream's converter.
        found = super().configured(config).with_defaults({"layer_norm_eps": 1e-6})
        return found.with_members({"image_size": 256})

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        whole = self.files.config
        keys.float32("vision.attention.layer_norm_epsilon", self.config.number("layer_norm_eps"))
        scale = whole.find_integer("downsample_factor")
        keys.uint32("vision.projector.scale_factor", 2 if scale is None else scale)
        keys.flag("use_gelu", True)
        if (last := whole.find_integer("vision_feature_layer")) is not None:  # counted as Python does, 0 is before all
            keys.uint32("vision.block_count", self.n_blocks + 1 + last if last < 0 else last)

    def renamed(self, name: str) -> str | None:
        name = name.removeprefix("model.")
        if ".vision_model.head." in name or not name.startswith(("vision_tower.", "multi_modal_projector.")):
            return None
        return super().renamed(name)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name.endswith("patch_embedding.weight"):
            patch = self.config.size("patch_size")
            pixels = tensor.reshaped(-1, patch, patch, 3)
            tensor = pixels.moved(lambda array: array.transpose(0, 3, 1, 2))
        yield name, tensor
