"""How much memory a model will take, estimated before it is loaded: pure arithmetic over its facts.

Rules of llama.cpp's caches and buffers; the engine reports the true sizes once the model is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from models.gguf.facts import GGUFFacts
from models.runner.layout import context_length, lay_out, whole_cells
from models.runner.settings import KvType, RunnerConfig

MICRO_BATCH: Final = 512
"""Tokens of a batch, and so of one pass through the layers, unless a request asks for another number."""

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
    layout = lay_out(
        config,
        n_ctx_train=facts.n_ctx_train,
        is_recurrent=_is_recurrent(facts),
        has_window=any(layer.window for layer in facts.layers),
        uses_gpu=False,
    )
    return MemoryNeed(
        weights_bytes=_weights_bytes(facts, others_bytes),
        cache_bytes=cache_bytes(
            facts,
            layout.n_cells,
            config.kv_type,
            n_sequences=layout.n_sequences,
            n_batch=config.n_batch,
            shares_cells=layout.shares_cells,
        ),
        compute_bytes=compute_bytes(facts, layout.n_seen, config.n_batch, n_sequences=layout.n_sequences),
    )


@dataclass(frozen=True, slots=True)
class SequenceCost:
    """What sequences of a model take. Sizes in bytes.

    `one_bytes`: the model with one of them; `own_bytes`: what each further one has of its own (recurrent states,
    windows, a row of logits); `context_bytes`: the cells of a whole context.
    """

    n_ctx: int
    one_bytes: int
    own_bytes: int
    context_bytes: int


def sequence_cost(facts: GGUFFacts, config: RunnerConfig, *, others_bytes: int = 0) -> SequenceCost:
    """The cost of sequences with the context that the configuration says, as `memory_need` estimates it."""
    n_ctx = context_length(config, facts.n_ctx_train)
    n_whole = whole_cells(n_ctx)

    def taken(n_sequences: int, n_cells: int) -> int:
        shares_cells = n_cells < n_sequences * n_whole or _is_recurrent(facts)
        caches = cache_bytes(
            facts,
            n_cells,
            config.kv_type,
            n_sequences=n_sequences,
            n_batch=config.n_batch,
            shares_cells=shares_cells,
        )
        n_seen = n_cells if shares_cells else n_whole
        return caches + compute_bytes(facts, n_seen, config.n_batch, n_sequences=n_sequences)

    one, sharing, with_contexts = taken(1, n_whole), taken(2, n_whole), taken(2, 2 * n_whole)
    weights_bytes = _weights_bytes(facts, others_bytes)
    return SequenceCost(n_ctx, weights_bytes + one, sharing - one, with_contexts - sharing)


def cache_bytes(
    facts: GGUFFacts, n_cells: int, kv_type: KvType = KvType.F16, *,
    n_sequences: int = 1, n_batch: int = MICRO_BATCH, shares_cells: bool = True,
) -> int:  # fmt: skip
    """Keys, values and recurrent states of sequences that have so many cells together.

    A layer with a sliding window keeps the windows and one batch, if that is less; where cells are not shared, a batch
    for each sequence. Source: llama-kv-cache-iswa.cpp.
    """
    n_cells = whole_cells(n_cells)

    def kept(window: int) -> int:
        if not window:
            return n_cells
        if shares_cells:
            return min(n_cells, whole_cells(window * n_sequences + n_batch))
        return min(n_cells, whole_cells(window + n_batch) * n_sequences)

    kv_elements = sum(layer.kv_elements * kept(layer.window) for layer in facts.layers)
    state_elements = sum(layer.state_elements for layer in facts.layers) * (n_sequences if n_cells else 0)
    return round(kv_elements * BITS_PER_ELEMENT[kv_type] / 8) + state_elements * STATE_ELEMENT_BYTES


def compute_bytes(facts: GGUFFacts, n_seen: int, n_batch: int, *, n_sequences: int = 1) -> int:
    """The buffers of one pass: attention mask and activations of one batch, a row of logits for each sequence.

    `n_seen` counts the cells that attention looks at for one token. Scores are not held: it is computed in tiles. The
    factors are those of llama.cpp's own figures for models of 135M and 1B, which this meets within a tenth.
    """
    n_tokens = min(n_batch, n_seen)
    logits = 2 * 4 * facts.n_vocab * n_sequences if not facts.is_embedding else 0
    activations = 4 * (3 * facts.n_embd + 3 * facts.n_ff)
    mask = 2 * whole_cells(n_seen)
    return n_tokens * (activations + mask) + logits


def _weights_bytes(facts: GGUFFacts, others_bytes: int) -> int:
    return (facts.weights_bytes or facts.size_bytes) + others_bytes


def _is_recurrent(facts: GGUFFacts) -> bool:
    return any(layer.state_elements for layer in facts.layers)
