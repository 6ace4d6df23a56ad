"""Encoders that give vectors: BERT and those made after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.create.convert.architectures.base import Architecture, Named
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.tensors import Tensor
from models.create.convert.vocabulary.special_tokens import read_special_tokens
from models.create.convert.vocabulary.tokenizer_json import word_vocabulary
from models.create.convert.vocabulary.unigram import add_unigrams
from models.errors import CreateFailed

TRAINED_POSITIONS: Final = {(8192, 2048): 2048, (2048, 2048): 512}
"""Positions and trained positions in the configuration of nomic-embed-text → those that it was trained on."""

UNUSED: Final = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


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


class NomicBert(Bert):
    """nomic-embed-text 1 and 1.5, and 2 with its experts: rotated positions, no biases."""

    name = "nomic-bert"
    is_moe = False

    def configured(self, config: Config) -> Config:
        found = super().configured(config)
        wanted = {
            "activation_function": "gelu" if self.is_moe else "swiglu", "causal": False, "qkv_proj_bias": self.is_moe,
            "mlp_fc1_bias": self.is_moe, "mlp_fc2_bias": self.is_moe, "prenorm": False, "rotary_emb_fraction": 1.0,
            "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
        }  # fmt: skip
        for key, value in wanted.items():
            if found.members.get(key) != value:
                raise CreateFailed(f"parse config.json: {key} is not {value}")
        members = {"n_positions": self._n_ctx(found)}
        n_ctx, pad = found.find_integer("max_position_embeddings"), found.find_integer("pad_token_id")
        if self._is_unigram and n_ctx is not None and pad is not None:
            members["max_position_embeddings"] = n_ctx - 1 - pad
        return found.with_members(members)

    def _n_ctx(self, config: Config) -> int:
        """What the model was trained on, which is less than it could be."""
        n_positions, trained = config.integer("n_positions"), config.find_integer("max_trained_positions") or 2048
        if (n_positions, trained) not in TRAINED_POSITIONS:
            raise CreateFailed(f"unrecognized parameters: n_positions={n_positions}, max_trained_positions={trained}")
        return TRAINED_POSITIONS[n_positions, trained]

    @property
    def _is_unigram(self) -> bool:
        model = (self.files.json("tokenizer.json") or {}).get("model")
        return isinstance(model, dict) and model.get("type") == "Unigram"

    def add_vocabulary(self, keys: Keys) -> None:
        if self._is_unigram:
            add_unigrams(keys, self.files, self.config)
        else:
            super().add_vocabulary(keys)


class NomicBertMoe(NomicBert):
    """nomic-embed-text 2."""

    name = "nomic-bert-moe"
    is_moe = True

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.uint32("moe_every_n_layers", self.config.integer("moe_every_n_layers"))
        keys.uint32("expert_used_count", self.config.integer("moe_top_k"))

    def renamed(self, name: str) -> str | None:
        return None if "mlp.experts.bias" in name else super().renamed(name)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if "mlp.experts.mlp.w" in name:
            shape = (self.n_experts, self.config.size("n_inner"), self.config.size("n_embd"))
            tensor = tensor.reshaped(*shape)
            tensor = tensor.transposed() if "mlp.experts.mlp.w2" in name else tensor
            name = f"{name}.weight"
        yield name, tensor


def nomic_bert(files: Checkpoint) -> Architecture:
    """The class depends on whether there are experts, not on what the configuration calls it."""
    is_moe = bool(files.config.find_integer("moe_every_n_layers"))
    return NomicBertMoe(files) if is_moe else NomicBert(files)
