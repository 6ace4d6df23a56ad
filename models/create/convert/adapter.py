"""Adapters (LoRA) as PEFT publishes them: two small matrices for each tensor of the model that they change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from models.create.convert.architectures.base import Architecture, block_of
from models.create.convert.architectures.table import architecture_named
from models.create.convert.base_config import config_of_base
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.experts import collect_experts
from models.create.convert.keys import Keys
from models.create.convert.low_rank import LowRank
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed
from models.gguf.values import GGUF

PREFIX: Final = "base_model.model."
CONFIG_FILE: Final = "adapter_config.json"
EMBEDDINGS: Final = "token_embd.weight"
OUTPUT: Final = "lm_head.weight"
BASE_WEIGHTS: Final = ".base_layer.weight"
"""What the model itself has, and some adapters repeat."""

SIDES: Final = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_embedding_A": "a",
    ".lora_embedding_B": "b",
}
"""Endings of names, and which of the two matrices they mean."""


class Adapter:
    """For a model of any architecture that is converted here. Raises, from any method: CreateFailed.

    What upstream's convert_lora_to_gguf.py does, but by what the GGUF file of the model tells.
    # Compat: registry-store-cli 6.6: llama and gemma2; the others are ours.
    """

    def __init__(self, files: Checkpoint, base: GGUF) -> None:
        self.files = files
        self.base = base
        kind = architecture_named(base.architecture)
        if kind is None:
            raise CreateFailed("unsupported architecture")
        self.model: Architecture = kind(files, config_of_base(base))

    def add_parameters(self, keys: Keys) -> None:
        if not self.files.has(CONFIG_FILE):
            raise CreateFailed(f"open {CONFIG_FILE}: no such file or directory")
        config = Config(self.files.json(CONFIG_FILE) or {})
        if config.object("alpha_pattern").members:
            raise CreateFailed(f"{CONFIG_FILE}: one lora_alpha is supported, and no alpha_pattern")
        alpha = config.number("lora_alpha")
        if config.flag("use_rslora"):  # by the root of the rank, where llama.cpp divides by the rank
            alpha *= math.sqrt(config.size("r"))
        keys.text("adapter.type", "lora")
        keys.float32("adapter.lora.alpha", alpha)

    def full_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The tensors that are changed, by the two matrices of each."""
        found = dict(self.converted())
        for name, tensor in found.items():
            if name.endswith(".lora_b"):
                yield name, (*tensor.shape[:-1], found[name.removesuffix("b") + "a"].shape[-1])
            elif not name.endswith(".lora_a"):
                yield name, tensor.shape

    def converted(self) -> Iterator[tuple[str, Tensor]]:
        """The matrices, `a` before `b`; and norms, which some adapters have whole."""
        names = self.model.tensor_names()
        for source, tensor in self.changes():
            if "embed_tokens.weight" in source:  # which architectures cut to the size of a vocabulary that is not here
                yield from self._embeddings(tensor)
                continue
            for new, changed in self.model.transformed(source, tensor, block_of(source)):
                target = names.named(new).name
                if target == EMBEDDINGS:
                    yield from self._embeddings(changed)
                elif isinstance(changed, LowRank):
                    yield f"{target}.lora_a", changed.a
                    yield f"{target}.lora_b", changed.b
                elif changed.n_dims == 1:
                    yield target, changed
                else:
                    raise CreateFailed(f"{source} cannot be changed by two small matrices")

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        """What each tensor of the model is changed by, by the names that `Architecture.transformed` takes."""
        whole: dict[str, Tensor] = {}
        sides: dict[str, dict[str, Tensor]] = {"a": {}, "b": {}}
        for name, stored in self.files.stored_tensors().items():
            stem, side = _split(name)
            found = sides[side] if side else whole
            if stem is not None and (new := self._renamed(stem)) is not None:
                if new in found:
                    raise CreateFailed(f"duplicate tensor name '{new}' was found for this model")
                found[new] = Tensor.stored(stored)
        if lone := sorted(sides["a"].keys() ^ sides["b"].keys()):
            raise CreateFailed(f"{lone[0]} has only one of its two matrices")
        yield from whole.items()
        first, second = (collect_experts(sides[side], self.model.n_experts) for side in "ab")
        for name, a in first.items():
            yield name, LowRank.product(a, second[name])

    def _renamed(self, stem: str) -> str | None:
        """The name of a tensor of the model; None for one that its file does not have."""
        if stem.startswith("model.layers.") and ".mixer." in stem:  # PEFT's name for what is a backbone elsewhere
            stem = stem.replace("model.", "backbone.", 1)
        elif stem.startswith("layers."):  # of a model that was trained without its head
            stem = f"model.{stem}"
        new = self.model.renamed(stem)
        if new is None and stem.endswith(OUTPUT):
            raise CreateFailed("lm_head is present in adapter, but is ignored in base model")
        return new

    def _embeddings(self, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
        """`a` has a row for each token of the model: llama.cpp looks them up (llama-graph.cpp, build_inp_embd)."""
        if not isinstance(tensor, LowRank):
            raise CreateFailed(f"{EMBEDDINGS} cannot be replaced by an adapter")
        rows = tensor.a.transposed()
        n_tokens = next(
            (t.shape[1] for t in self.base.tensors or () if t.name == EMBEDDINGS and len(t.shape) == 2), None
        )
        yield f"{EMBEDDINGS}.lora_a", rows if n_tokens is None else rows.rows(0, n_tokens)
        yield f"{EMBEDDINGS}.lora_b", tensor.b


def _split(name: str) -> tuple[str | None, str]:
    """The tensor that a matrix is for, and which of the two it is: neither for a norm. Nothing for what is left out."""
    short = name.replace(PREFIX, "")
    for ending, side in SIDES.items():
        if short.endswith(ending):
            return short.removesuffix(ending) + ".weight", side
    if short.endswith(BASE_WEIGHTS):
        return None, ""
    if "_layernorm" in short or ".norm" in short:
        return short, ""
    raise CreateFailed(f"Unexpected name '{name}': Not a lora_A or lora_B tensor")
