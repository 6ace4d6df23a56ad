"""What a `config.json` may leave out: the values that the model's own code fills in, by `model_type`.

Source: the configuration classes of transformers 4.57, through which upstream's converter reads every config. Only what
a GGUF file tells is here; sizes that every config has are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models.create.convert.config import Config

_LLAMA: Final = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000.0}
_QWEN: Final = {"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 10000.0}
_GEMMA: Final = {"max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "head_dim": 256}
_GEMMA3: Final = {
    "max_position_embeddings": 131072, "num_attention_heads": 8, "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
    "head_dim": 256, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "sliding_window": 4096,
    "num_hidden_layers": 26, "hidden_size": 2304, "intermediate_size": 9216, "vocab_size": 262208,
}  # fmt: skip

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA | {"max_position_embeddings": 131072, "num_key_value_heads": 8},
    "mixtral": {
        "max_position_embeddings": 131072, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1000000.0,
        "num_local_experts": 8, "num_experts_per_tok": 2,
    },
    "gemma": _GEMMA | {"num_key_value_heads": 16},
    "gemma2": _GEMMA | {
        "num_key_value_heads": 4, "sliding_window": 4096, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3_text": _GEMMA3,
    "gemma3": _GEMMA3,
    "phi3": {
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
        "original_max_position_embeddings": 4096,
    },
    "qwen2": _QWEN | {"num_key_value_heads": 32},
    "qwen3": _QWEN | {"num_key_value_heads": 32, "head_dim": 128},
    "qwen2_moe": _QWEN
    | {"num_key_value_heads": 16, "num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408},
    "qwen3_moe": _QWEN
    | {"num_key_value_heads": 4, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    "cohere": {"max_position_embeddings": 8192, "layer_norm_eps": 1e-5, "rope_theta": 10000.0, "logit_scale": 0.0625},
    "olmo2": _LLAMA | {"rms_norm_eps": 1e-5},
    "olmo3": _LLAMA | {"rms_norm_eps": 1e-5, "sliding_window": 4096},
    "bert": {"max_position_embeddings": 512, "layer_norm_eps": 1e-12, "type_vocab_size": 2},
    "lfm2": {
        "max_position_embeddings": 128000, "num_key_value_heads": 8, "norm_eps": 1e-5, "rope_theta": 1000000.0,
    },
}  # fmt: skip

HEADS_FOR_KEYS: Final = frozenset({"llama", "phi3", "cohere", "olmo2", "olmo3"})
"""Types that have as many heads for keys and values as for queries, unless they say so."""

DIVIDED_HEADS: Final = frozenset({"llama"})
"""Types whose configuration always tells the size of a head."""


def with_defaults(config: Config) -> Config:
    """A configuration without holes. Raises: CreateFailed."""
    kind = config.text("model_type")
    filled = config.with_defaults(DEFAULTS.get(kind, {}))
    n_head = filled.find_integer("num_attention_heads")
    if n_head and kind in HEADS_FOR_KEYS:
        filled = filled.with_defaults({"num_key_value_heads": n_head})
    if n_head and kind in DIVIDED_HEADS and filled.has("hidden_size"):
        filled = filled.with_defaults({"head_dim": filled.size("hidden_size") // filled.size("num_attention_heads")})
    return filled
