"""What Gemma 3n and Gemma 4 see and hear with: two towers in one file."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Final

import numpy as np

from models.create.convert.architectures.base import Named
from models.create.convert.architectures.projectors import N_BLOCKS, Projector
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.naming import NamedTensor, TensorNames
from models.create.convert.numbers import F16, F32, Array, Kind
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

SEEING: Final = ("model.vision_tower.", "model.embed_vision.")
HEARING: Final = ("model.audio_tower.", "model.embed_audio.")
MAX_BLOCKS: Final = 128


class GemmaTowers(Projector):
    """A tower that sees, and where `hears` one that hears."""

    kind_key = "vision.projector_type"
    heard: ClassVar[str]
    """`kind` of what hears."""

    @cached_property
    def n_blocks(self) -> int:
        return MAX_BLOCKS  # of names: two towers have them

    @property
    def audio(self) -> Config:
        """The part of the configuration for what hears; empty where nothing does."""
        return self.files.config.object("audio_config")

    @cached_property
    def hears(self) -> bool:
        return bool(self.audio.members) and any(name.startswith(HEARING) for name in self.files.stored_tensors())

    def renamed(self, name: str) -> str | None:
        is_kept = name.startswith(SEEING) or (self.hears and name.startswith(HEARING))
        return super().renamed(name) if is_kept else None

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        if name.startswith(HEARING) and (".conv" in name or ("_conv" in name and ".weight" in name)):
            return F32
        return super().precision(name, named, main)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("vision.block_count", self.config.size(*N_BLOCKS))
        eps = self.config.find_number("layer_norm_eps")
        keys.float32("vision.attention.layer_norm_epsilon", 1e-6 if eps is None else eps)
        if self.hears:
            keys.flag("has_audio_encoder", True)
            keys.text("audio.projector_type", self.heard)
            keys.uint32("audio.projection_dim", self.whole.size("hidden_size", "n_embd"))
            self._add_hearing(keys)

    @abstractmethod
    def _add_hearing(self, keys: Keys) -> None:
        """The sizes of what hears."""


class Gemma4Towers(GemmaTowers):
    """Gemma 4."""

    kind = "gemma4v"
    heard = "gemma4a"

    def configured(self, config: Config) -> Config:
        return super().configured(config).with_members({"image_size": 224})  # nobody reads it

    def _add_hearing(self, keys: Keys) -> None:
        audio = self.audio
        keys.uint32("audio.embedding_length", audio.size("hidden_size"))
        keys.uint32("audio.feed_forward_length", audio.size("hidden_size") * 4)
        keys.uint32("audio.block_count", audio.size(*N_BLOCKS))
        keys.uint32("audio.attention.head_count", audio.size("num_attention_heads"))
        keys.uint32("audio.num_mel_bins", audio.find_integer("input_feat_size") or 128)
        eps = audio.find_number("layer_norm_eps")
        keys.float32("audio.attention.layer_norm_epsilon", 1e-6 if eps is None else eps)

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        return F32 if "position_embedding_table" in name else super().precision(name, named, main)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        yield self._heard(name, tensor) if name.startswith(HEARING) else self._seen(name, tensor)

    def _heard(self, name: str, tensor: Tensor) -> Named:
        name = name.replace("model.audio_tower.", "conformer.").replace(".linear.", ".")
        if name.endswith(("per_dim_key_scale", "per_dim_scale")):
            return f"{name}.weight", tensor.computed(_softplus)
        if name.endswith("lconv1d.depthwise_conv1d.weight"):
            tensor = tensor.reshaped(*tensor.shape[:1], -1)
        return name, tensor

    def _seen(self, name: str, tensor: Tensor) -> Named:
        name = name.replace("model.vision_tower.encoder.", "vision_model.model.").replace(".linear.weight", ".weight")
        if name.endswith(("layer_scalar", "position_embedding_table")):
            return f"{name}.weight", tensor
        if name.endswith("patch_embedder.input_proj.weight"):
            side = int((math.prod(tensor.shape[1:]) // 3) ** 0.5)
            pixels = tensor.reshaped(*tensor.shape[:1], side, side, 3)
            return name, pixels.moved(lambda array: array.transpose(0, 3, 1, 2))
        return name, tensor


def _softplus(array: Array) -> Array:
    exact = array.astype(np.float64)
    return np.where(exact > 20, exact, np.log1p(np.exp(np.minimum(exact, 20)))).astype(array.dtype)


_BLOCK = re.compile(r"model\.vision_tower\.timm_model\.blocks\.(\d{1,3}\.\d{1,3})\.(.+)")
_IN_BLOCKS: Final = frozenset(
    {
        "conv_exp.weight", "bn1.weight", "conv_pwl.weight", "bn2.weight", "dw_start.conv.weight", "dw_start.bn.weight",
        "dw_mid.conv.weight", "dw_mid.bn.weight", "pw_exp.conv.weight", "pw_exp.bn.weight", "pw_proj.conv.weight",
        "pw_proj.bn.weight", "layer_scale.gamma", "attn.query.proj.weight", "attn.key.proj.weight",
        "attn.value.proj.weight", "attn.output.proj.weight", "attn.key.down_conv.weight", "attn.key.norm.weight",
        "attn.value.down_conv.weight", "attn.value.norm.weight", "norm.weight",
    }
)  # fmt: skip
"""What the blocks of a MobileNet have, in the model and in the file alike."""


class Gemma3nTowers(GemmaTowers):
    """Gemma 3n: it sees with a MobileNet, whose blocks have two numbers."""

    kind = "gemma3nv"
    heard = "gemma3na"
    extra_names: ClassVar = GemmaTowers.extra_names | {
        "model.audio_tower.subsample_conv_projection.conv_{bid}.norm": "a.conv1d.{bid}.norm"
    }

    def configured(self, config: Config) -> Config:
        vision, settings = super().configured(config), self._settings()
        vision = vision.with_defaults({"hidden_size": 2048, "intermediate_size": 2048, "num_attention_heads": 8})
        side = settings.object("size").size("height") if settings.has("size") else 768
        n_tokens = settings.size("image_seq_length") if settings.has("image_seq_length") else 256
        return vision.with_members(
            {
                "image_size": side,
                "patch_size": side // n_tokens,  # as upstream writes it, and nobody reads it
                "intermediate_size": vision.size("intermediate_size") * 4,
                "n_layers": MAX_BLOCKS,  # nobody reads it either
                "num_hidden_layers": None,
            }
        )

    def _spread_of_colours(self, key: str) -> list[float]:
        return [0.0] * 3 if key == "image_mean" else [1.0] * 3

    def _add_hearing(self, keys: Keys) -> None:
        audio = self.audio.with_defaults(
            {
                "hidden_size": 1536, "intermediate_size": 6144, "conf_num_hidden_layers": 12,
                "conf_num_attention_heads": 8, "input_feat_size": 128,
            }
        )  # fmt: skip
        keys.uint32("audio.embedding_length", audio.size("hidden_size"))
        keys.uint32("audio.feed_forward_length", audio.size("intermediate_size"))
        keys.uint32("audio.block_count", audio.size("conf_num_hidden_layers"))
        keys.uint32("audio.attention.head_count", audio.size("conf_num_attention_heads"))
        keys.uint32("audio.num_mel_bins", audio.size("input_feat_size"))
        keys.float32("audio.attention.layer_norm_epsilon", 1e-5)

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        if "input_proj" in name:
            return F16
        return F32 if ".embeddings." in name or "stem" in name else super().precision(name, named, main)

    def tensor_names(self) -> TensorNames:
        found = (_in_block(name) for name in self.files.stored_tensors())
        names = {name.removesuffix(".weight"): name.removesuffix(".weight") for name in found if name}
        return TensorNames(self.name, self.n_blocks, {**self.extra_names, **names})

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name.endswith("conv_stem.conv.bias"):
            tensor = tensor.reshaped(1, -1, 1, 1)
        elif (in_block := _in_block(name)) is not None:
            name = in_block
        yield name.replace("model.audio_tower.conformer.", "conformer.layers."), tensor


def _in_block(name: str) -> str | None:
    """The name in the file of what is in a block; None for what is in none. Raises: CreateFailed."""
    match = _BLOCK.fullmatch(name)
    if match is None:
        return None
    if match[2] not in _IN_BLOCKS:
        raise CreateFailed(f"the model has a tensor that its architecture does not know: {name}")
    return f"v.blk.{match[1]}.{match[2]}"
