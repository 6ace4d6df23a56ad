"""Gemma."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.create.convert.architectures.base import Architecture, Named, plus_one
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor
from models.create.convert.vocabulary.sentencepiece import sentencepiece_vocabulary
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
        return len(vocab or ()) + len(added or ())


class EmbeddingGemma(Gemma3):
    """EmbeddingGemma: vectors of texts."""

    name = "gemma-embedding"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        # As the file has it: half of that is what the model's own code computes with.
        keys.uint32("attention.sliding_window", self.files.config.integer("sliding_window"))
        self.add_pooling(keys)
