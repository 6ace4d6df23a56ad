"""Adapters (LoRA) as PEFT publishes them: two small matrices for each tensor of the model that they change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.create.convert.architectures.llama import interleaved
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.naming import TensorNames
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed
from models.gguf.values import GGUF

PREFIX: Final = "base_model.model."
CONFIG_FILE: Final = "adapter_config.json"
PERMUTED: Final = frozenset({"llama"})
"""Architectures whose queries and keys llama.cpp has in another order than the checkpoint."""

KNOWN: Final = PERMUTED | {"gemma", "gemma2", "gemma3", "qwen2", "qwen3", "phi3", "command-r", "olmo2"}
"""# Compat: registry-store-cli 6.6: llama and gemma2; the others are ours."""

_SIDES: Final = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


class Adapter:
    """Raises, from any method: CreateFailed. Source: upstream's convert_lora_to_gguf.py."""

    def __init__(self, files: Checkpoint, base: GGUF) -> None:
        self.files = files
        self.base = base
        self.architecture = base.architecture
        if self.architecture not in KNOWN:
            raise CreateFailed("unsupported architecture")

    def add_parameters(self, keys: Keys) -> None:
        if not self.files.has(CONFIG_FILE):
            raise CreateFailed(f"open {CONFIG_FILE}: no such file or directory")
        config = Config(self.files.json(CONFIG_FILE) or {})
        keys.text("adapter.type", "lora")
        keys.float32("adapter.lora.alpha", config.number("lora_alpha"))

    def full_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The tensors that are changed, by the two matrices of each."""
        found = dict(self.converted())
        for name, tensor in found.items():
            if name.endswith(".lora_b"):
                yield name, (*tensor.shape[:-1], found[name.removesuffix("b") + "a"].shape[-1])

    def converted(self) -> Iterator[tuple[str, Tensor]]:
        """The matrices, `a` before `b`."""
        names = TensorNames(self.architecture, self.base.uint32("block_count") or 0, {})
        stored = self.files.stored_tensors()
        stems = dict.fromkeys(_split(name)[0] for name in stored)
        for stem in stems:
            target = names.named(stem.removeprefix(PREFIX) + ".weight").name
            for source, ending in _SIDES.items():
                if stem + source not in stored:
                    raise CreateFailed(f"{stem} has only one of its two matrices")
                tensor = Tensor.stored(stored[stem + source])
                yield f"{target}{ending}", self._changed(stem, ending, tensor)

    def _changed(self, stem: str, ending: str, tensor: Tensor) -> Tensor:
        if stem.endswith("embed_tokens") and ending == ".lora_a":
            return tensor.transposed()
        if self.architecture in PERMUTED and ending == ".lora_b":
            n_head = max(self.base.integers("attention.head_count"), default=0)
            n_kv = max(self.base.integers("attention.head_count_kv"), default=n_head)
            if stem.endswith("q_proj"):
                return interleaved(tensor, n_head)
            if stem.endswith("k_proj"):
                return interleaved(tensor, n_kv)
        return tensor


def _split(name: str) -> tuple[str, str]:
    """The tensor that a matrix is for, and which of the two it is."""
    for source in _SIDES:
        if name.endswith(source):
            return name.removesuffix(source), source
    raise CreateFailed(f"Unexpected name '{name}': Not a lora_A or lora_B tensor")
