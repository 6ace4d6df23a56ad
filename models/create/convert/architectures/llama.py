"""Llama and its kin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from models.create.convert.architectures.base import N_HEAD, N_HEAD_KV, Architecture, Named
from models.create.convert.keys import Keys
from models.create.convert.numbers import Array
from models.create.convert.tensors import Tensor
from models.create.convert.vocabulary.special_tokens import read_special_tokens, special_texts
from models.create.convert.vocabulary.tokenizer_json import (
    is_sentencepiece_like,
    read_tokenizer,
    sentencepiece_like_vocabulary,
)
from models.errors import CreateFailed

CODE_LLAMA_TOKENS: Final = 32016
CODE_LLAMA_EOT: Final = 32010
GRANITE_TOKENS: Final = 49152


class Llama(Architecture):
    """Llama, Mistral, Mixtral."""

    name = "llama"
    permutes = True

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("vocab_size", self.config.integer("vocab_size"))
        keys.uint32("rope.dimension_count", self.head_size)

    def add_vocabulary(self, keys: Keys) -> None:
        prefix = (self.files.json("tokenizer_config.json") or {}).get("add_prefix_space")
        if isinstance(prefix, bool):
            keys.flag("tokenizer.ggml.add_space_prefix", prefix)
        if self.has_sentencepiece:
            self.add_sentencepiece(keys)
        elif is_sentencepiece_like(read_tokenizer(self.files)):
            self._add_sentencepiece_like(keys)
        else:
            self.add_byte_pairs(keys)
        n_tokens = self.config.find_integer("vocab_size")
        if n_tokens == CODE_LLAMA_TOKENS:
            keys.uint32("tokenizer.ggml.eot_token_id", CODE_LLAMA_EOT)
        if n_tokens == GRANITE_TOKENS:
            keys.flag("tokenizer.ggml.add_bos_token", False)

    def _add_sentencepiece_like(self, keys: Keys) -> None:
        vocabulary = sentencepiece_like_vocabulary(self.files, special_texts(self.files))
        vocabulary.write(keys)
        read_special_tokens(self.files, n_vocab=len(vocabulary.tokens)).write(keys)

    def renamed(self, name: str) -> str | None:
        new = super().renamed(name)
        return new and new.replace("text_model.", "")

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if self.config.architecture == "LlamaModel":
            name = f"model.{name}"
        if self.permutes and name.endswith(("q_proj.weight", "q_proj.bias")):
            tensor = interleaved(tensor, self.config.size(*N_HEAD))
        if self.permutes and name.endswith(("k_proj.weight", "k_proj.bias")):
            tensor = interleaved(tensor, self.config.find_integer(*N_HEAD_KV) or self.config.size(*N_HEAD))
        if ".block_sparse_moe.experts." in name:
            name = name.removeprefix("model.").replace("block_sparse_moe", "feed_forward")
        yield name, tensor

    def extra_tensors(self) -> Iterator[Named]:
        rope = self.full_rope
        if rope.text("rope_type").lower() == "llama3":
            yield "rope_freqs.weight", Tensor.of(self._rope_factors())

    def _rope_factors(self) -> Array:
        """By how much each frequency is divided: slow ones by the whole factor, fast ones not at all."""
        rope, size = self.full_rope, self.head_size
        base = np.float32(_or(rope.find_number("rope_theta"), 10000.0))
        factor = _or(rope.find_number("factor"), 8.0)
        low, high = _or(rope.find_number("low_freq_factor"), 1.0), _or(rope.find_number("high_freq_factor"), 4.0)
        n_ctx = _or(rope.find_number("original_max_position_embeddings"), 8192)
        if not (factor > 0 and low > 0 and high > 0 and n_ctx > 0 and base > 0):
            raise CreateFailed("rope parameters that cannot be")
        frequencies = np.float32(1.0) / base ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))
        wavelengths = np.float32(2 * math.pi) / frequencies
        factors = []
        for wavelength in wavelengths:
            if wavelength < n_ctx / high:
                factors.append(np.float32(1.0))
            elif wavelength > n_ctx / low:
                factors.append(np.float32(factor))
            else:
                smooth = (np.float32(n_ctx) / wavelength - np.float32(low)) / np.float32(high - low)
                factors.append(1 / ((1 - smooth) / np.float32(factor) + smooth))
        return np.array(factors, np.float32)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def interleaved(tensor: Tensor, n_heads: int) -> Tensor:
    """Rows of queries or keys, the two halves of each head made into pairs: how llama.cpp rotates this family."""

    def change(array: Array) -> Array:
        halves = array.reshape(n_heads, 2, array.shape[0] // n_heads // 2, *array.shape[1:])
        return halves.swapaxes(1, 2).reshape(array.shape)

    return tensor.moved(change)
