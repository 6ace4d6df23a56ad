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
    weights = _weights_by_layer(gguf)
    n_layers = min(max(gguf.uint32("block_count") or 0, max(weights, default=-1) + 1), MAX_LAYERS)
    return tuple(_layer(gguf, index, weights[index]) for index in range(n_layers))


def _weights_by_layer(gguf: GGUF) -> Counter[int]:
    weights: Counter[int] = Counter()
    for tensor in gguf.tensors or ():
        if (block := _BLOCK.match(tensor.name)) and int(block[1]) < MAX_LAYERS:
            weights[int(block[1])] += tensor.size_bytes
    return weights


def _layer(gguf: GGUF, index: int, weights_bytes: int) -> LayerFacts:
    n_head_kv = _n_head_kv(gguf, index)
    window = _window(gguf, index)
    kv_elements = n_head_kv * _head_elements(gguf, windowed=window > 0)
    is_recurrent = kv_elements == 0 or gguf.architecture in HYBRID_LAYERS
    state_elements = _state_elements(gguf) if is_recurrent else 0
    return LayerFacts(weights_bytes, kv_elements, window, state_elements)


def _n_head_kv(gguf: GGUF, index: int) -> int:
    """Heads whose keys and values a layer caches; none for encoders and for recurrent layers."""
    if gguf.flag("attention.causal") is False:
        return 0
    interval = gguf.uint32("full_attention_interval")
    if interval and (index + 1) % interval:
        return 0
    heads = gguf.integers("attention.head_count_kv") or gguf.integers("attention.head_count")
    return _at(heads, index)


def _head_elements(gguf: GGUF, *, windowed: bool) -> int:
    """Key and value elements of one head."""
    n_head = max(gguf.integers("attention.head_count"), default=0)
    default = (gguf.uint32("embedding_length") or 0) // n_head if n_head else 0
    suffix = "_swa" if windowed else ""
    key = gguf.uint32(f"attention.key_length{suffix}") or gguf.uint32("attention.key_length") or default
    value = gguf.uint32(f"attention.value_length{suffix}") or gguf.uint32("attention.value_length") or default
    # Multi-head latent attention reads the values out of the cached keys.
    return key if gguf.has("attention.key_length_mla") else key + value


def _window(gguf: GGUF, index: int) -> int:
    window = gguf.uint32("attention.sliding_window") or CHUNK_TOKENS.get(gguf.architecture, 0)
    pattern = gguf.array("attention.sliding_window_pattern")
    if pattern is not None and pattern.values:
        return window if index < pattern.count and pattern.values[index] else 0
    period = gguf.uint32("attention.sliding_window_pattern") or WINDOW_PERIODS.get(gguf.architecture, 0)
    return window if period and (index + 1) % period else 0


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


def _at(numbers: tuple[int, ...], index: int) -> int:
    """The number of a layer; a single number is that of all layers."""
    if len(numbers) == 1:
        return max(numbers[0], 0)
    return max(numbers[index], 0) if index < len(numbers) else 0
