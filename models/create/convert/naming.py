"""What llama.cpp calls the tensors of a model: the tables of its `gguf` package, and what those do not know yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import gguf
from gguf import MODEL_ARCH, MODEL_TENSOR

from models.errors import CreateFailed

log = logging.getLogger(__name__)

SUFFIXES: Final = (".weight", ".bias", ".scale", ".input_min", ".input_max", ".output_min", ".output_max")

MAX_BLOCKS: Final = 1024

NEXTN_NAMES: Final = {
    "model.layers.{bid}.eh_proj": "blk.{bid}.nextn.eh_proj",
    "model.layers.{bid}.embed_tokens": "blk.{bid}.nextn.embed_tokens",
    "model.layers.{bid}.enorm": "blk.{bid}.nextn.enorm",
    "model.layers.{bid}.hnorm": "blk.{bid}.nextn.hnorm",
    "model.layers.{bid}.shared_head.head": "blk.{bid}.nextn.shared_head_head",
    "model.layers.{bid}.shared_head.norm": "blk.{bid}.nextn.shared_head_norm",
}
"""Layers that guess the token after the next, of architectures where the tables do not have them."""


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """A tensor's name in the file, and which of llama.cpp's tensors it is; None for one that its tables lack."""

    name: str
    kind: MODEL_TENSOR | None


class TensorNames:
    """Names by architecture; `extra` are patterns of source names with `{bid}` for the block, without suffix.

    Raises: CreateFailed for more blocks than any model has, as there are names for each.
    """

    def __init__(self, architecture: str, n_blocks: int, extra: Mapping[str, str]) -> None:
        if n_blocks > MAX_BLOCKS:
            raise CreateFailed(f"a model of {n_blocks} layers")
        self._map = gguf.get_tensor_name_map(_architecture(architecture), n_blocks)
        blocks = range(n_blocks)
        self._extra = {
            source.format(bid=block): target.format(bid=block)
            for source, target in extra.items()
            for block in (blocks if "{bid}" in source else (0,))
        }

    def named(self, source: str) -> NamedTensor:
        """Raises: CreateFailed for a tensor that the architecture does not have."""
        stem, suffix = _split(source)
        if stem in self._extra:
            return NamedTensor(self._extra[stem] + suffix, None)
        found = self._map.get_type_and_name(source, try_suffixes=SUFFIXES)
        if found is None:
            raise CreateFailed(f"the model has a tensor that its architecture does not know: {source}")
        return NamedTensor(found[1], found[0])


def _split(source: str) -> tuple[str, str]:
    suffix = next((s for s in SUFFIXES if source.endswith(s)), "")
    return source.removesuffix(suffix), suffix


def _architecture(name: str) -> MODEL_ARCH:
    return next(number for number, known in gguf.MODEL_ARCH_NAMES.items() if known == name)
