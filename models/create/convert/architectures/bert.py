"""Encoders that give vectors: BERT and those made after it."""

from __future__ import annotations

from models.create.convert.architectures.base import Architecture
from models.create.convert.keys import Keys
from models.create.convert.vocabulary.special_tokens import read_special_tokens
from models.create.convert.vocabulary.tokenizer_json import word_vocabulary

UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


class Bert(Architecture):
    """BERT."""

    name = "bert"
    is_encoder = True

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.flag("attention.causal", False)
        self.add_pooling(keys)

    def add_vocabulary(self, keys: Keys) -> None:
        vocabulary = word_vocabulary(self.files, self.config)
        keys.uint32("tokenizer.ggml.token_type_count", self.config.find_integer("type_vocab_size") or 1)
        vocabulary.write(keys)
        read_special_tokens(self.files, n_vocab=len(vocabulary.tokens)).write(keys)

    def renamed(self, name: str) -> str | None:
        name = name.removeprefix("bert.")
        if name.endswith(".gamma"):
            name = name.removesuffix(".gamma") + ".weight"
        if name.endswith(".beta"):
            name = name.removesuffix(".beta") + ".bias"
        if name in UNUSED or name.startswith(("cls.predictions", "cls.seq_relationship")):
            return None
        return super().renamed(name)
