"""How much memory a model will take, estimated before it is loaded: pure arithmetic over its facts.

Rules of llama.cpp's caches and buffers; the engine reports the true sizes once the model is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from models.gguf.facts import GGUFFacts
from models.runner.settings import KvType, RunnerConfig

MICRO_BATCH: Final = 512
"""Tokens that one pass through the layers holds at most, however long the batch."""

CACHE_ALIGNMENT: Final = 256
"""Cells of a KV cache come in multiples of this (llama-kv-cache.cpp)."""

BITS_PER_ELEMENT: Final = MappingProxyType({KvType.F16: 16.0, KvType.Q8_0: 8.5, KvType.Q4_0: 4.5})
STATE_ELEMENT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a loaded model takes, in bytes."""

    weights_bytes: int
    cache_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.compute_bytes


def memory_need(facts: GGUFFacts, config: RunnerConfig, *, others_bytes: int = 0) -> MemoryNeed:
    """The need of a model loaded with this configuration; `others_bytes` are its projectors and adapters.

    Host memory for saved prompts is not counted: it is used as time goes by, and up to a limit of its own.
    """
    n_ctx = min(config.n_ctx, facts.n_ctx_train or config.n_ctx)
    n_cells = max(config.n_cells or _aligned(n_ctx) * config.n_parallel, n_ctx)
    return MemoryNeed(
        weights_bytes=(facts.weights_bytes or facts.size_bytes) + others_bytes,
        cache_bytes=cache_bytes(facts, n_cells, config.kv_type, n_sequences=config.n_parallel),
        compute_bytes=compute_bytes(facts, n_cells, config.n_batch, n_sequences=config.n_parallel),
    )


def cache_bytes(facts: GGUFFacts, n_cells: int, kv_type: KvType = KvType.F16, *, n_sequences: int = 1) -> int:
    """Keys, values and recurrent states of sequences that share so many cells.

    A layer with a sliding window keeps the windows and one micro-batch, if that is less.
    """
    n_cells = _aligned(n_cells)
    kv_elements = sum(
        layer.kv_elements
        * (min(n_cells, _aligned(layer.window * n_sequences + MICRO_BATCH)) if layer.window else n_cells)
        for layer in facts.layers
    )
    state_elements = sum(layer.state_elements for layer in facts.layers) * (n_sequences if n_cells else 0)
    return round(kv_elements * BITS_PER_ELEMENT[kv_type] / 8) + state_elements * STATE_ELEMENT_BYTES


def compute_bytes(facts: GGUFFacts, n_cells: int, n_batch: int, *, n_sequences: int = 1) -> int:
    """The buffers of one pass: attention mask and activations of one micro-batch, a row of logits for each sequence.

    `n_cells` counts the contexts of all sequences together. Scores are not held: attention is computed in tiles. The
    factors are those of llama.cpp's own figures for models of 135M and 1B, which this meets within a tenth.
    """
    n_tokens = min(n_batch, MICRO_BATCH, n_cells)
    logits = 2 * 4 * facts.n_vocab * n_sequences if not facts.is_embedding else 0
    activations = 4 * (3 * facts.n_embd + 3 * facts.n_ff)
    mask = 2 * _aligned(n_cells)
    return n_tokens * (activations + mask) + logits


def _aligned(n_tokens: int) -> int:
    return -(-n_tokens // CACHE_ALIGNMENT) * CACHE_ALIGNMENT
