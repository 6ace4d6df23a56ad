"""What each layer of a model weighs and remembers: the rules of llama.cpp's caches, by architecture."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from models.gguf.values import GGUF

MAX_LAYERS: Final = 1024
"""No model has more; a file that claims more must not make us build them."""

WINDOW_PERIODS: Final = {
    "gemma2": 2, "gpt-oss": 2, "gptoss": 2, "cohere2": 4, "exaone4": 4, "llama4": 4, "olmo2": 4, "gemma3n": 5,
    "gemma3": 6, "gemma-embedding": 6,
}  # fmt: skip
"""Of so many layers one sees everything, the others a window (llama-model.cpp, set_swa_pattern); files may differ."""

CHUNK_TOKENS: Final = {"llama4": 8192}
"""Windows that are the architecture's own."""

HYBRID_LAYERS: Final = frozenset({"falcon-h1"})
"""Architectures whose layers have attention and a recurrent state, both."""

_BLOCK = re.compile(r"blk\.(\d{1,9})\.")


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer. `kv_elements`: keys and values that one token leaves; `window`: tokens it keeps at most, 0 for all;
    `state_elements`: its recurrent state (float32) of one sequence."""

    weights_bytes: int = 0
    kv_elements: int = 0
    window: int = 0
    state_elements: int = 0


def layers_of(gguf: GGUF) -> tuple[LayerFacts, ...]:
    """All layers, in order: those that the file declares or has tensors for."""
    weights, rules = _weights_by_layer(gguf), _Rules.of(gguf)
    n_layers = min(max(gguf.uint32("block_count") or 0, max(weights, default=-1) + 1), MAX_LAYERS)
    return tuple(rules.layer(index, weights[index]) for index in range(n_layers))


def _weights_by_layer(gguf: GGUF) -> Counter[int]:
    weights: Counter[int] = Counter()
    for tensor in gguf.tensors or ():
        if (block := _BLOCK.match(tensor.name)) and int(block[1]) < MAX_LAYERS:
            weights[int(block[1])] += tensor.size_bytes
    return weights


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a file says of its layers: `heads` with keys and values per layer, or one number for all of them.

    One layer in `attention_period` has attention, one in `window_period` sees everything; 0 says nothing.
    """

    heads: tuple[int, ...]
    attention_period: int
    head_elements: int
    window_head_elements: int
    window: int
    window_period: int
    windowed: tuple[object, ...]
    state_elements: int
    is_hybrid: bool

    @classmethod
    def of(cls, gguf: GGUF) -> _Rules:
        is_encoder = gguf.flag("attention.causal") is False
        pattern = gguf.array("attention.sliding_window_pattern")
        period = gguf.uint32("attention.sliding_window_pattern") or WINDOW_PERIODS.get(gguf.architecture, 0)
        return cls(
            heads=()
            if is_encoder
            else gguf.integers("attention.head_count_kv") or gguf.integers("attention.head_count"),
            attention_period=gguf.uint32("full_attention_interval") or 0,
            head_elements=_head_elements(gguf, ""),
            window_head_elements=_head_elements(gguf, "_swa"),
            window=gguf.uint32("attention.sliding_window") or CHUNK_TOKENS.get(gguf.architecture, 0),
            window_period=period,
            windowed=(pattern.values or ()) if pattern else (),
            state_elements=_state_elements(gguf),
            is_hybrid=gguf.architecture in HYBRID_LAYERS,
        )

    def layer(self, index: int, weights_bytes: int) -> LayerFacts:
        window = self.window if self._is_windowed(index) else 0
        kv_elements = self._n_heads(index) * (self.window_head_elements if window else self.head_elements)
        has_state = self.is_hybrid or kv_elements == 0
        return LayerFacts(weights_bytes, kv_elements, window, self.state_elements if has_state else 0)

    def _n_heads(self, index: int) -> int:
        """Heads whose keys and values the layer caches; none for encoders and for recurrent layers."""
        if self.attention_period and (index + 1) % self.attention_period:
            return 0
        if len(self.heads) == 1:
            return max(self.heads[0], 0)
        return max(self.heads[index], 0) if index < len(self.heads) else 0

    def _is_windowed(self, index: int) -> bool:
        if self.windowed:
            return index < len(self.windowed) and bool(self.windowed[index])
        return bool(self.window_period and (index + 1) % self.window_period)


def _head_elements(gguf: GGUF, suffix: str) -> int:
    """Key and value elements of one head; layers with a window may have their own."""
    n_head = max(gguf.integers("attention.head_count"), default=0)
    default = (gguf.uint32("embedding_length") or 0) // n_head if n_head else 0
    key = gguf.uint32(f"attention.key_length{suffix}") or gguf.uint32("attention.key_length") or default
    value = gguf.uint32(f"attention.value_length{suffix}") or gguf.uint32("attention.value_length") or default
    # Multi-head latent attention reads the values out of the cached keys.
    return key if gguf.has("attention.key_length_mla") else key + value


def _state_elements(gguf: GGUF) -> int:
    """Elements of a recurrent layer's state: convolution and state space, short convolution, or RWKV."""
    n_embd = gguf.uint32("embedding_length") or 0
    if inner := gguf.uint32("ssm.inner_size"):
        state, groups = gguf.uint32("ssm.state_size") or 0, gguf.uint32("ssm.group_count") or 0
        convolution = max((gguf.uint32("ssm.conv_kernel") or 0) - 1, 0) * (inner + 2 * groups * state)
        return convolution + state * inner
    if cached := gguf.uint32("shortconv.l_cache"):
        return (cached - 1) * n_embd
    if head := gguf.uint32("wkv.head_size"):
        return n_embd * (head + 2)
    return 0
