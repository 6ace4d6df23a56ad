"""Laguna."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from models.create.convert.architectures.base import GATING, N_HEAD, Architecture
from models.create.convert.keys import Keys
from models.create.convert.vocabulary.special_tokens import read_special_tokens
from models.create.convert.vocabulary.tokenizer_json import byte_pair_vocabulary
from models.create.convert.vocabulary.tokens import TokenType
from models.errors import CreateFailed

TEMPLATE: Final = "chat_template.jinja"
TURN_END: Final = "</assistant>"
GATES: Final = ("per_head", "per_element")


class Laguna(Architecture):
    """Laguna: experts, a gate behind attention, as many heads in each layer as that layer likes."""

    name = "laguna"
    mapped_as = "afmoe"
    extra_names: ClassVar = {
        "model.layers.{bid}.post_attention_layernorm": "blk.{bid}.ffn_norm",
        "model.layers.{bid}.mlp.experts.e_score_correction": "blk.{bid}.exp_probs_b",
    }

    def add_vocabulary(self, keys: Keys) -> None:
        vocabulary = byte_pair_vocabulary(self.files, self.config)
        if TURN_END in vocabulary.tokens:  # marked as text, though it ends a reply
            vocabulary.types[vocabulary.tokens.index(TURN_END)] = TokenType.CONTROL
        vocabulary.write(keys)
        special = read_special_tokens(self.files, merges=True)
        if self.files.has(TEMPLATE):  # the other one may do nothing but include it
            special.chat_template = self.files.text(TEMPLATE)
        special.write(keys)
        ends = self.config.members.get("eos_token_id")
        others = (
            [end for end in ends if end != self.config.members.get("bos_token_id")] if isinstance(ends, list) else []
        )
        if others and type(others[0]) is int:
            keys.uint32("tokenizer.ggml.eot_token_id", others[0])

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        self._check_gates()
        keys.uint32("vocab_size", config.integer("vocab_size"))
        heads = config.integers("num_attention_heads_per_layer") or [config.size(*N_HEAD)] * self.n_blocks
        if len(heads) != self.n_blocks:
            raise CreateFailed(f"num_attention_heads_per_layer has {len(heads)} entries, expected {self.n_blocks}")
        keys.array("attention.head_count", heads)
        if (window := config.find_integer("sliding_window") or 0) > 0:
            keys.uint32("attention.sliding_window", window)
        keys.uint32("expert_feed_forward_length", config.integer("moe_intermediate_size"))
        keys.uint32("expert_shared_feed_forward_length", config.integer("shared_expert_intermediate_size"))
        keys.flag("expert_weights_norm", True)
        keys.float32("expert_weights_scale", config.number("moe_routed_scaling_factor"))
        keys.uint32("expert_gating_func", GATING["sigmoid"])
        keys.uint32("leading_dense_block_count", self._n_dense())
        self._add_rotated(keys)

    def _n_dense(self) -> int:
        """Leading layers without experts."""
        kinds: list[Any] = [*(self.config.find_list("mlp_layer_types") or ()), ""]
        return next(number for number, kind in enumerate(kinds) if kind != "dense")

    def _add_rotated(self, keys: Keys) -> None:
        """How much of a head is rotated, in layers that see everything and in the others."""
        for name, suffix in (("full_attention", ""), ("sliding_attention", "_swa")):
            if self.rope.has(name):
                part = self.rope.object(name).find_number("partial_rotary_factor")
                n_rotated = int(self.config.size("head_dim") * (1.0 if part is None else part))
                keys.uint32(f"rope.dimension_count{suffix}", n_rotated)

    def _check_gates(self) -> None:
        """Programs differ in what they read: a model whose configuration is of two minds is not converted."""
        gating, kinds = self.config.members.get("gating"), self.config.find_list("gating_types")
        whole = gating.replace("-", "_") if isinstance(gating, str) else "per_head" if gating is True else None
        found = [str(kind).replace("-", "_") for kind in kinds] if kinds else [whole] * self.n_blocks
        if len(found) != self.n_blocks or any(kind not in GATES for kind in found):
            raise CreateFailed("parse config.json: gating is neither per-head nor per-element")
        if "per_element" in found and whole != "per_element":
            raise CreateFailed("parse config.json: gating and gating_types contradict each other")
