"""Phi 3 and 4."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from models.create.convert.architectures.base import Architecture, Named
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor
from models.create.convert.vocabulary.sentencepiece import (
    ADDED_SCORE,
    described_tokens,
    sentencepiece_vocabulary,
)
from models.create.convert.vocabulary.special_tokens import read_special_tokens
from models.create.convert.vocabulary.tokens import TokenType, Vocabulary
from models.errors import CreateFailed


class Phi3(Architecture):
    """Phi 3, and Phi 4 with the tokenizer of GPT-2's kind."""

    name = "phi3"

    def add_parameters(self, keys: Keys) -> None:
        config = self.config
        keys.uint32("context_length", config.integer("n_positions", "max_position_embeddings"))
        keys.uint32("rope.scaling.original_context_length", self._n_ctx_original)
        keys.uint32("embedding_length", config.integer("hidden_size", "n_embd"))
        keys.uint32("feed_forward_length", config.integer("intermediate_size"))
        keys.uint32("block_count", self.n_blocks)
        keys.uint32("attention.head_count", config.integer("num_attention_heads", "n_head"))
        keys.uint32("attention.head_count_kv", config.integer("num_key_value_heads", "n_head_kv"))
        keys.float32("attention.layer_norm_rms_epsilon", config.number("rms_norm_eps"))
        keys.uint32("rope.dimension_count", self._n_rotated)
        keys.float32("rope.freq_base", self.full_rope.number("rope_theta"))
        # Zero tells Phi 4 from the models of Phi 3 that have a window.
        keys.uint32("attention.sliding_window", config.find_integer("sliding_window") or 0)
        if self.rope.find_list("long_factor"):
            keys.float32("rope.scaling.attn_factor", self._attention_factor())

    @property
    def _n_ctx_original(self) -> int:
        return self.rope.size("original_max_position_embeddings")

    @property
    def _n_rotated(self) -> int:
        part = self.rope.find_number("partial_rotary_factor")
        n_embd, n_head = self.config.size("hidden_size", "n_embd"), self.config.size("num_attention_heads", "n_head")
        return int((1.0 if part is None else part) * n_embd) // n_head

    def _attention_factor(self) -> float:
        scale = self.config.size("n_positions", "max_position_embeddings") / self._n_ctx_original
        match self.rope.text("rope_type").lower():
            case "su" | "longrope":
                return math.sqrt(1 + math.log(scale) / math.log(self._n_ctx_original)) if scale > 1 else 1.0
            case "yarn":
                return 0.1 * math.log(scale) + 1.0 if scale > 1 else 1.0
            case other:
                raise CreateFailed(f"The rope scaling type {other} is not supported yet")

    def extra_tensors(self) -> Iterator[Named]:
        long, short = self.rope.numbers("long_factor"), self.rope.numbers("short_factor")
        if not long:
            return
        if len(long) != len(short) or 2 * len(long) != self._n_rotated:
            raise CreateFailed(f"The length of rope long and short factors must be {self._n_rotated / 2}.")
        yield "rope_factors_long.weight", Tensor.of(np.array(long, np.float32))
        yield "rope_factors_short.weight", Tensor.of(np.array(short, np.float32))

    def add_vocabulary(self, keys: Keys) -> None:
        settings = self.files.json("tokenizer_config.json") or {}
        if settings.get("tokenizer_class") == "GPT2Tokenizer" or not self.has_sentencepiece:
            self.add_byte_pairs(keys)
            return
        vocabulary = sentencepiece_vocabulary(self.files, self.config)
        self._put_added(vocabulary)
        vocabulary.write(keys)
        read_special_tokens(self.files, n_vocab=len(vocabulary.tokens)).write(keys)

    def _put_added(self, vocabulary: Vocabulary) -> None:
        """Added tokens as they stand there: only what is marked as special is so."""
        for token_id, entry in (*described_tokens(self.files), *self._listed_tokens()):
            kind = TokenType.CONTROL if entry.get("special") else TokenType.USER_DEFINED
            vocabulary.put(token_id, entry["content"], kind, ADDED_SCORE)

    def _listed_tokens(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for entry in (self.files.json("tokenizer.json") or {}).get("added_tokens") or []:
            fields = entry if isinstance(entry, dict) else {}
            if type(fields.get("id")) is not int or not isinstance(fields.get("content"), str):
                raise CreateFailed("tokenizer.json: added_tokens has an entry that is not a token")
            yield fields["id"], fields
