"""DeepSeek 2 and 3, and those built alike: keys and values come from one small vector."""

from __future__ import annotations

import re
from collections.abc import Iterator

from models.create.convert.architectures.base import Architecture, Named
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.naming import NEXTN_NAMES
from models.create.convert.tensors import Tensor
from models.create.convert.vocabulary.special_tokens import read_special_tokens
from models.create.convert.vocabulary.tokenizer_json import byte_pair_vocabulary
from models.errors import CreateFailed

_LAYER = re.compile(r"model\.layers\.(\d{1,6})\.")


class DeepSeek2(Architecture):
    """DeepSeek 2 and 3."""

    name = "deepseek2"

    def configured(self, config: Config) -> Config:
        # In llama.cpp all heads share one head of keys, which is the small vector.
        found = super().configured(config)
        return found.with_defaults({"rms_norm_eps": 1e-6}).with_members({"num_key_value_heads": 1})

    @property
    def n_layers(self) -> int:
        return self.config.size("num_hidden_layers")

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        keys.uint32("leading_dense_block_count", self._n_dense())
        keys.uint32("vocab_size", config.integer("vocab_size"))
        if (q_rank := config.find_integer("q_lora_rank")) is not None:
            keys.uint32("attention.q_lora_rank", q_rank)
        self._add_heads(keys)
        keys.uint32("expert_feed_forward_length", config.integer("moe_intermediate_size", "intermediate_size"))
        keys.uint32("expert_shared_count", config.find_integer("n_shared_experts") or 0)
        if (scale := config.find_number("routed_scaling_factor")) is not None:
            keys.float32("expert_weights_scale", scale)
        if config.flag("norm_topk_prob"):
            keys.flag("expert_weights_norm", True)
        if (scale := self.rope.find_number("mscale_all_dim")) is not None:
            keys.float32("rope.scaling.yarn_log_multiplier", 0.1 * scale)

    def _add_heads(self, keys: Keys) -> None:
        config = self.config
        rank = config.find_integer("kv_lora_rank") or 512
        rotated = config.size("qk_rope_head_dim")
        keys.uint32("attention.kv_lora_rank", rank)
        keys.uint32("attention.key_length", rank + rotated)
        keys.uint32("attention.value_length", rank)
        keys.uint32("attention.key_length_mla", config.size("qk_nope_head_dim") + rotated)
        keys.uint32("attention.value_length_mla", config.size("v_head_dim"))
        keys.uint32("rope.dimension_count", rotated)

    def _n_dense(self) -> int:
        """Leading layers without experts."""
        n_dense = self.config.find_integer("first_k_dense_replace")
        if n_dense is not None:
            return n_dense
        return 0 if self.config.has("n_routed_experts") else self.n_layers

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        if new is None or (self.config.flag("tie_word_embeddings") and new.endswith("lm_head.weight")):
            return None
        layer = _LAYER.match(new)
        return None if layer and int(layer[1]) >= self.n_blocks else new  # layers that guess ahead

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if not name.endswith("kv_b_proj.weight"):
            yield name, tensor
            return
        keys, values = self.config.size("qk_nope_head_dim"), self.config.size("v_head_dim")
        if tensor.shape[0] % (keys + values):
            raise CreateFailed(f"{name} does not have {keys + values} rows for each head")
        heads = tensor.reshaped(-1, keys + values, tensor.shape[-1])
        yield name.replace("kv_b_proj", "k_b_proj"), heads.moved(lambda array: array[:, :keys].swapaxes(1, 2))
        yield name.replace("kv_b_proj", "v_b_proj"), heads.moved(lambda array: array[:, keys:])


class Glm4MoeLite(DeepSeek2):
    """GLM 4.7 Flash: DeepSeek's layers, GLM's tokenizer, and layers that guess ahead."""

    extra_names = NEXTN_NAMES

    @property
    def n_blocks(self) -> int:
        return self.n_layers + (self.config.find_integer("num_nextn_predict_layers") or 0)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        if self.n_blocks > self.n_layers:
            keys.uint32("nextn_predict_layers", self.n_blocks - self.n_layers)

    def add_vocabulary(self, keys: Keys) -> None:
        add_glm_vocabulary(
            self, keys, {"bos": "[gMASK]", "eot": "<|user|>", "unk": "<|endoftext|>", "eom": "<|observation|>"}
        )


def add_glm_vocabulary(architecture: Architecture, keys: Keys, named: dict[str, str]) -> None:
    """A tokenizer of byte pairs whose special tokens have these texts, unless the files say otherwise."""
    vocabulary = byte_pair_vocabulary(architecture.files, architecture.config)
    vocabulary.write(keys)
    special = read_special_tokens(architecture.files, merges=True)
    for kind, text in named.items():
        if text not in vocabulary.tokens:
            raise CreateFailed(f"the tokenizer has no token {text}")
        special.put(kind, vocabulary.tokens.index(text))
    special.write(keys)
