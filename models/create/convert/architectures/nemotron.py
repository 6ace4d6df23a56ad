"""Nemotron-H: layers of state space, of attention and of feed-forward, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np

from models.create.convert.architectures.base import N_HEAD, Architecture, Named
from models.create.convert.architectures.llama import Llama
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

VOCAB_MULTIPLE: Final = 8
N_CTX: Final = 2**20
"""Positions are not encoded, so there is no end to them."""

SPELLED: Final = {
    "mamba": "M",
    "linear_attention": "M",
    "attention": "*",
    "full_attention": "*",
    "moe": "E",
    "mlp": "-",
}
"""Kinds of layers as words → as the letters of `hybrid_override_pattern`."""


class NemotronH(Llama):
    """Nemotron-H."""

    name = "nemotron_h"
    feed_forward = "-"

    @cached_property
    def pattern(self) -> str:
        """A letter for each layer."""
        kinds = self.config.find_list("layers_block_type")
        spelled = "".join(SPELLED.get(str(kind), "?") for kind in kinds) if kinds else ""
        pattern = self.config.find_text("hybrid_override_pattern") or spelled
        if len(pattern) != self.n_blocks:
            raise CreateFailed(f"hybrid_override_pattern has {len(pattern)} entries, expected {self.n_blocks}")
        return pattern

    @property
    def head_size(self) -> int:
        return self.config.size("head_dim", "attention_head_dim")

    @property
    def _n_inner(self) -> int:
        return self.config.size("num_heads", "mamba_num_heads") * self.config.size("mamba_head_dim")

    @property
    def _n_groups(self) -> int:
        return self.config.size("n_groups", "num_groups", "mamba_n_groups")

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        keys.uint32("ssm.conv_kernel", config.integer("conv_kernel", "d_conv", "mamba_d_conv"))
        keys.uint32("ssm.state_size", config.integer("state_size", "d_state", "state_dim", "ssm_state_size"))
        keys.uint32("ssm.group_count", self._n_groups)
        keys.uint32("ssm.inner_size", self._n_inner)
        keys.uint32("ssm.time_step_rank", config.integer("n_heads", "num_heads", "mamba_num_heads"))
        n_kv = config.integer("num_key_value_heads", "n_head_kv")
        keys.array("attention.head_count_kv", [n_kv if kind == "*" else 0 for kind in self.pattern])
        keys.flag("rope.scaling.finetuned", False)
        keys.uint32("rope.dimension_count", config.size("hidden_size") // config.size(*N_HEAD))  # upstream's, unused
        keys.uint32("context_length", N_CTX)
        keys.uint32("attention.key_length", self.head_size)
        keys.uint32("attention.value_length", self.head_size)
        n_ff = self._n_ff()
        keys.array("feed_forward_length", [n_ff if kind == self.feed_forward else 0 for kind in self.pattern])

    def _n_ff(self) -> int:
        return self.config.integer("intermediate_size", "n_inner", "hidden_dim")

    def add_vocabulary(self, keys: Keys) -> None:
        padded = -(-self.config.size("vocab_size") // VOCAB_MULTIPLE) * VOCAB_MULTIPLE
        unpadded, self.config = self.config, self.config.with_members({"vocab_size": padded})
        self.add_byte_pairs(keys)
        self.config = unpadded

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        if new is None or new.startswith("mtp."):
            return None
        return new.removesuffix(".dt_bias") + ".dt_proj.bias" if new.endswith(".dt_bias") else new

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name.endswith("mixer.A_log"):
            tensor = tensor.computed(lambda array: -np.exp(array.astype(np.float64))).reshaped(-1, 1)
        elif name.endswith("mixer.D"):
            tensor = tensor.reshaped(-1, 1)
        elif name.endswith("mixer.conv1d.weight"):
            tensor = tensor.squeezed()
        elif name.endswith("mixer.norm.weight"):
            tensor = tensor.reshaped(self._n_groups, -1)
        elif ".mixer.experts." in name:
            name = name.replace("backbone.", "model.").replace(".mixer.", ".mlp.")
        yield from super().transformed(name, tensor, block)


class NemotronHMoe(NemotronH):
    """Nemotron-H of experts."""

    name = "nemotron_h_moe"
    feed_forward = "E"

    def _n_ff(self) -> int:
        return self.config.integer("moe_intermediate_size")

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        keys.uint32("expert_feed_forward_length", config.integer("moe_intermediate_size"))
        keys.uint32("expert_shared_feed_forward_length", config.integer("moe_shared_expert_intermediate_size"))
        keys.uint32("expert_shared_count", config.integer("n_shared_experts"))
        keys.flag("expert_weights_norm", config.flag("norm_topk_prob"))
        keys.float32("expert_weights_scale", config.number("routed_scaling_factor"))
        if (size := config.find_integer("moe_latent_size")) is not None:
            keys.uint32("moe_latent_size", size)


def nemotron_h(files: Checkpoint) -> Architecture:
    """The class depends on whether there are experts."""
    config = files.config.with_members(files.config.text_part.members)
    return NemotronHMoe(files) if config.has("num_experts_per_tok") else NemotronH(files)
