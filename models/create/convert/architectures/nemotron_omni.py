"""What Nemotron Omni sees and hears with: RADIO, and Parakeet for sounds, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Final

from models.create.convert.architectures.base import Named
from models.create.convert.architectures.nemotron_vl import RadioVision
from models.create.convert.architectures.projectors import N_BLOCKS, Projector
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.naming import NamedTensor
from models.create.convert.numbers import F32, Kind
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

HEARING: Final = ("sound_encoder.", "sound_projection.")
SUBSAMPLING: Final = 8
"""Frames of sound that become one: what the strides are in llama.cpp (tools/mtmd/models/parakeet.cpp)."""

N_NUMBERS: Final = 16
"""More than there are steps between sounds and layers, or between layers and text."""

_LAYER: Final = "sound_encoder.encoder.layers.{bid}."
SOUND_NAMES: Final = {
    "sound_encoder.encoder.feature_extractor.featurizer.fb": "a.mel_filters",
    "sound_encoder.encoder.feature_extractor.featurizer.window": "a.window",
    "sound_encoder.encoder.subsampling.layers.{bid}": "a.conv1d.{bid}",
    "sound_encoder.encoder.subsampling.linear": "a.pre_encode.out",
    "sound_projection.norm": "mm.a.norm_pre",
    "sound_projection.linear{bid}": "mm.a.mlp.{bid}",
    **{
        _LAYER + source: f"a.blk.{{bid}}.{target}"
        for source, target in {
            "norm_feed_forward1": "ffn_norm",
            "feed_forward1.linear1": "ffn_up",
            "feed_forward1.linear2": "ffn_down",
            "norm_self_att": "ln1",
            "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v",
            "self_attn.o_proj": "attn_out",
            "self_attn.relative_k_proj": "linear_pos",
            "self_attn.bias_u": "pos_bias_u",
            "self_attn.bias_v": "pos_bias_v",
            "norm_conv": "norm_conv",
            "conv.pointwise_conv1": "conv_pw1",
            "conv.depthwise_conv": "conv_dw",
            "conv.norm": "conv_norm",
            "conv.norm.running_mean": "conv_norm_mean",
            "conv.norm.running_var": "conv_norm_var",
            "conv.pointwise_conv2": "conv_pw2",
            "norm_feed_forward2": "ffn_norm_1",
            "feed_forward2.linear1": "ffn_up_1",
            "feed_forward2.linear2": "ffn_down_1",
            "norm_out": "ln2",
        }.items()
    },
}
"""Parakeet's tensors, which the tables of the released `gguf` do not have yet.

Source: llama.cpp, gguf-py/gguf/tensor_mapping.py (there marked "parakeet"), as llama-cpp-python 0.3.36 carries it.
"""


class OmniTowers(RadioVision):
    """Nemotron Omni."""

    kind_key = "vision.projector_type"
    extra_names: ClassVar = RadioVision.extra_names | SOUND_NAMES

    @property
    def audio(self) -> Config:
        return self.files.config.object("sound_config")

    @cached_property
    def n_blocks(self) -> int:
        return max(N_NUMBERS, super().n_blocks, self.audio.size(*N_BLOCKS))  # in names: two towers have them

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        audio = self.audio
        if (factor := audio.integer("subsampling_factor")) != SUBSAMPLING:
            raise CreateFailed(f"subsampling_factor is {factor}")
        if (kernel := audio.size("conv_kernel_size")) % 2 == 0:
            raise CreateFailed(f"conv_kernel_size is {kernel}")
        keys.uint32("vision.block_count", self.config.size(*N_BLOCKS))
        keys.flag("has_audio_encoder", True)
        keys.text("audio.projector_type", "parakeet")
        keys.uint32("audio.projection_dim", self.whole.size("hidden_size", "n_embd"))
        keys.uint32("audio.embedding_length", audio.size("hidden_size"))
        keys.uint32("audio.feed_forward_length", audio.size("intermediate_size"))
        keys.uint32("audio.block_count", audio.size(*N_BLOCKS))
        keys.uint32("audio.attention.head_count", audio.size("num_attention_heads"))
        keys.float32("audio.attention.layer_norm_epsilon", 1e-5)
        keys.uint32("audio.num_mel_bins", audio.size("num_mel_bins"))
        keys.uint32("audio.subsampling_factor", factor)
        keys.uint32("audio.conv_kernel_size", kernel)

    def renamed(self, name: str) -> str | None:
        if name.startswith(HEARING):
            return None if name.endswith("num_batches_tracked") else name  # which only training counts
        return super().renamed(name)

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        is_added_or_norm = "bias" in named.name or "norm" in named.name
        if name.startswith(HEARING) and (is_added_or_norm or ("conv" in named.name and "weight" in named.name)):
            return F32
        return super().precision(name, named, main)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if not name.startswith(HEARING):
            yield from super().transformed(name, tensor, block)
        elif name.endswith("depthwise_conv.weight"):
            yield name, tensor.reshaped(1, 1, *tensor.shape[:1], *tensor.shape[2:])
        elif "pointwise_conv" in name and name.endswith(".weight"):
            yield name, tensor.reshaped(*tensor.shape[:2])
        elif name.endswith(".bias") and ("subsampling.layers" in name or "pointwise_conv" in name):
            yield name, tensor.reshaped(1, -1, 1, 1)
        else:
            yield name, tensor


def nemotron_towers(files: Checkpoint) -> Projector:
    """The class depends on whether there is something that hears."""
    hears = files.config.has("sound_config") and any(name.startswith(HEARING) for name in files.stored_tensors())
    return OmniTowers(files) if hears else RadioVision(files)
