"""Gemma."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np

from models.create.convert.architectures.base import Architecture, Named, Tensors, plus_one
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor, joined, stacked, zeros
from models.create.convert.vocabulary.sentencepiece import sentencepiece_vocabulary
from models.create.convert.vocabulary.special_tokens import read_special_tokens, special_texts
from models.create.convert.vocabulary.tokenizer_json import sentencepiece_like_vocabulary
from models.create.convert.vocabulary.tokens import TokenType
from models.errors import CreateFailed

GEMMA_EOT: Final = 107


class Gemma(Architecture):
    """Gemma 1."""

    name = "gemma"

    def add_vocabulary(self, keys: Keys) -> None:
        self.add_sentencepiece(keys)
        if "tokenizer.ggml.eot_token_id" not in keys:
            keys.uint32("tokenizer.ggml.eot_token_id", GEMMA_EOT)
        keys.flag("tokenizer.ggml.add_space_prefix", False)

    def add_parameters(self, keys: Keys) -> None:
        config = self.config
        keys.uint32("context_length", config.integer("max_position_embeddings"))
        keys.uint32("embedding_length", config.integer("hidden_size"))
        keys.uint32("block_count", self.n_blocks)
        keys.uint32("feed_forward_length", config.integer("intermediate_size"))
        keys.uint32("attention.head_count", config.integer("num_attention_heads"))
        keys.uint32("attention.head_count_kv", config.integer("num_key_value_heads", "num_attention_heads"))
        keys.float32("attention.layer_norm_rms_epsilon", config.number("rms_norm_eps"))
        keys.uint32("attention.key_length", config.integer("head_dim"))
        keys.uint32("attention.value_length", config.integer("head_dim"))

    def renamed(self, name: str) -> str | None:
        return None if name == "lm_head.weight" else super().renamed(name)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        yield name, plus_one(tensor) if name.endswith("norm.weight") else tensor


class Gemma2(Gemma):
    """Gemma 2."""

    name = "gemma2"

    def add_vocabulary(self, keys: Keys) -> None:
        self.add_sentencepiece(keys)
        keys.flag("tokenizer.ggml.add_space_prefix", False)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.float32("attn_logit_softcapping", self.config.number("attn_logit_softcapping"))
        keys.float32("final_logit_softcapping", self.config.number("final_logit_softcapping"))
        keys.uint32("attention.sliding_window", self.config.integer("sliding_window"))


class Gemma3(Architecture):
    """Gemma 3, the part that reads and writes."""

    name = "gemma3"

    def add_vocabulary(self, keys: Keys) -> None:
        if self.has_sentencepiece:
            self.add_sentencepiece(keys)
            keys.flag("tokenizer.ggml.add_space_prefix", False)
        else:
            self.add_byte_pairs(keys)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        theta = self.full_rope.find_number("rope_theta")
        keys.float32("rope.freq_base", 1_000_000.0 if theta is None else theta)
        if self.config.has("attn_logit_softcapping"):
            raise CreateFailed("Gemma 3 has no attn_logit_softcapping")
        if cap := self.config.find_number("final_logit_softcapping"):
            keys.float32("final_logit_softcapping", cap)
        if self.config.find_integer("sliding_window_pattern") != 1:
            keys.uint32("attention.sliding_window", self.config.integer("sliding_window"))

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "embed_tokens.weight" in name:
            tensor = tensor.rows(0, min(self._n_tokens(), tensor.shape[0]))
        yield name, plus_one(tensor) if name.endswith("norm.weight") else tensor

    def _n_tokens(self) -> int:
        """Rows beyond the vocabulary are not kept."""
        if self.has_sentencepiece:
            return len(sentencepiece_vocabulary(self.files, self.config).tokens)
        tokenizer = self.files.json("tokenizer.json") or {}
        model, added = tokenizer.get("model"), tokenizer.get("added_tokens")
        vocab = model.get("vocab") if isinstance(model, dict) else None
        return sum(len(tokens) for tokens in (vocab, added) if isinstance(tokens, dict | list))


class EmbeddingGemma(Gemma3):
    """EmbeddingGemma: vectors of texts."""

    name = "gemma-embedding"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        # As the file has it: half of that is what the model's own code computes with.
        keys.uint32("attention.sliding_window", self.files.config.integer("sliding_window"))
        self.add_pooling(keys)


class Gemma3n(Gemma3):
    """Gemma 3n, the part that reads and writes."""

    name = "gemma3n"

    @property
    def n_vocab(self) -> int:
        return self.config.size("vocab_size")

    def add_vocabulary(self, keys: Keys) -> None:
        if not self.has_sentencepiece:
            self.add_byte_pairs(keys)
            return
        # Some of the tokens stand for pictures and sounds, and have no vectors in the layers.
        vocabulary = sentencepiece_vocabulary(self.files, self.config, self.n_vocab)
        vocabulary.write(keys)
        read_special_tokens(self.files, n_vocab=len(vocabulary.tokens)).write(keys)
        keys.flag("tokenizer.ggml.add_space_prefix", False)

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config = self.config
        keys.uint32("altup.active_idx", config.integer("altup_active_idx"))
        keys.uint32("altup.num_inputs", config.integer("altup_num_inputs"))
        keys.uint32("embedding_length_per_layer_input", config.integer("hidden_size_per_layer_input"))
        keys.uint32("attention.shared_kv_layers", config.integer("num_kv_shared_layers"))
        keys.array("activation_sparsity_scale", [_quantile(p) for p in config.numbers("activation_sparsity_pattern")])
        keys.array("attention.sliding_window_pattern", self._windowed())

    def _windowed(self) -> list[bool]:
        return [kind == "sliding_attention" for kind in self.config.find_list("layer_types") or ()]

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        return f"{new}.weight" if new and new.endswith("_scale") else new

    def tensors(self) -> Tensors:
        """Projections into and out of the alternating inputs, one file entry each, as one tensor each."""
        found = dict(super().tensors())
        for name in ("altup_projections", "altup_unembed_projections"):
            parts = [f"model.{name}.{number}.weight" for number in range(3)]
            if all(part in found for part in parts):
                found[f"model.{name}.weight"] = stacked([found.pop(part) for part in parts])
        return found

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "embed_tokens.weight" in name or "embed_tokens_per_layer" in name:
            missing = self.n_vocab - tensor.shape[0]
            tensor = joined([tensor, zeros(tensor.kind, (missing, *tensor.shape[1:]))]) if missing > 0 else tensor
        yield name, tensor


def _quantile(probability: float) -> float:
    """Where so much of the normal distribution lies below."""
    if not 0 < probability < 1:
        return math.copysign(math.inf, probability - 0.5)
    return statistics.NormalDist().inv_cdf(probability)


class Gemma4(Gemma3):
    """Gemma 4, the part that reads and writes."""

    name = "gemma4"
    visible: ClassVar = frozenset(
        {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>'}
    )
    """Tokens that whoever reads a reply must see."""

    def add_vocabulary(self, keys: Keys) -> None:
        vocabulary = sentencepiece_like_vocabulary(self.files, special_texts(self.files))
        for token_id, text in enumerate(vocabulary.tokens):
            if text in self.visible:
                vocabulary.types[token_id] = TokenType.USER_DEFINED
        vocabulary.model = "gemma4"
        vocabulary.write(keys)
        keys.remove("tokenizer.ggml.pre")
        read_special_tokens(self.files, merges=True).write(keys)
        keys.flag("tokenizer.ggml.add_space_prefix", False)
        keys.flag("tokenizer.ggml.add_bos_token", True)

    @property
    def _is_windowed(self) -> list[bool]:
        kinds = self.config.find_list("layer_types")
        if kinds is None or len(kinds) != self.n_blocks:
            raise CreateFailed("parse config.json: there is no layer_types")
        return [kind == "sliding_attention" for kind in kinds]

    def _of_full_layers(self, key: str, name: str) -> int | None:
        """A size of the layers that see everything, which may be given for each layer."""
        if (value := self.config.find_integer(key)) is not None:
            return value
        layers = self.config.object("per_layer_config")
        for block, windowed in enumerate(self._is_windowed):
            if not windowed and layers.object(str(block)).has(name):
                return layers.object(str(block)).integer(name)
        return None

    @property
    def _head_full(self) -> int:
        head = self._of_full_layers("global_head_dim", "head_dim")
        if head is None:
            raise CreateFailed("parse config.json: there is no global_head_dim")
        return head

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        config, windowed = self.config, self._is_windowed
        n_shared = config.integer("num_kv_shared_layers")
        keys.uint32("attention.shared_kv_layers", n_shared)
        keys.uint32("embedding_length_per_layer_input", config.find_integer("hidden_size_per_layer_input") or 0)
        keys.array("attention.sliding_window_pattern", windowed)
        for kind in ("key", "value"):
            keys.uint32(f"attention.{kind}_length", self._head_full)
            keys.uint32(f"attention.{kind}_length_swa", config.integer("head_dim"))
        if (n_ff := config.find_integer("expert_intermediate_size", "moe_intermediate_size")) is not None:
            keys.uint32("expert_feed_forward_length", n_ff)
        if config.flag("use_double_wide_mlp"):
            n_ff, first = config.integer("intermediate_size"), self.n_blocks - n_shared
            keys.array("feed_forward_length", [n_ff * (1 + (block >= first)) for block in range(self.n_blocks)])
        full, n_kv = (
            self._of_full_layers("num_global_key_value_heads", "num_key_value_heads"),
            config.find_integer("num_key_value_heads"),
        )
        if full is not None and n_kv is not None:
            keys.array("attention.head_count_kv", [n_kv if is_windowed else full for is_windowed in windowed])
        part = self.rope.find_number("partial_rotary_factor")
        keys.uint32("rope.dimension_count", self._head_full)
        keys.uint32("rope.dimension_count_swa", int(config.integer("head_dim") * (1.0 if part is None else part)))

    def extra_tensors(self) -> Iterator[Named]:
        """Of a head in a layer that sees everything only the first part is rotated; the rest hardly turns at all."""
        half = self._head_full // 2
        n_rotated = int(self._head_full * self.full_rope.number("partial_rotary_factor") / 2)
        yield "rope_freqs.weight", Tensor.of(np.array([1.0] * n_rotated + [1e30] * (half - n_rotated), np.float32))

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        if new is None:
            return None
        is_bare = new.endswith(("per_dim_scale", "layer_scalar")) or (
            ".experts." in new and not new.endswith(".weight")
        )
        return f"{new}.weight" if is_bare else new

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name.endswith("router.scale"):
            yield f"blk.{block}.ffn_gate_inp.scale", tensor
        elif ".per_expert_scale" in name:
            yield f"blk.{block}.ffn_down_exps.scale", tensor
        elif "embed_tokens.weight" in name:
            yield name, tensor.rows(0, min(self._n_tokens(), tensor.shape[0]))
        else:
            yield name, tensor
