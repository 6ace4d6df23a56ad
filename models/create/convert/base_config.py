"""The configuration of a model of which there is only the GGUF file: as far as that tells, and adapters need it."""

from __future__ import annotations

from typing import Any, Final

from models.create.convert.config import Config
from models.gguf.values import GGUF

SIZES: Final = {
    "hidden_size": "embedding_length",
    "n_embd": "embedding_length",
    "n_inner": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "num_experts": "expert_count",
    "num_nextn_predict_layers": "nextn_predict_layers",
    "mtp_num_hidden_layers": "nextn_predict_layers",
    "qk_rope_head_dim": "rope.dimension_count",
    "v_head_dim": "attention.value_length_mla",
    "n_groups": "ssm.group_count",
    "linear_num_key_heads": "ssm.group_count",
    "linear_num_value_heads": "ssm.time_step_rank",
    "linear_key_head_dim": "ssm.state_size",
}
"""Names in `config.json` → keys of the file, below the architecture; of lists of one for each layer the largest."""


def config_of_base(base: GGUF) -> Config:
    """The members that moving tensors depends on."""
    members: dict[str, Any] = {"architectures": [""]}
    for name, key in SIZES.items():
        if found := max(base.integers(key), default=0):
            members[name] = found
    members["num_hidden_layers"] = (base.uint32("block_count") or 0) - members.get("num_nextn_predict_layers", 0)
    n_rotated, head = members.get("qk_rope_head_dim", 0), members.get("head_dim", 0)
    if whole := base.uint32("attention.key_length_mla"):
        members["qk_nope_head_dim"] = whole - n_rotated
    if n_values := members.get("linear_num_value_heads"):
        members["linear_value_head_dim"] = (base.uint32("ssm.inner_size") or 0) // n_values
    rope: dict[str, Any] = {}
    if sections := base.integers("rope.dimension_sections"):
        rope["mrope_section"] = list(sections)
    if n_rotated and head:
        rope["partial_rotary_factor"] = n_rotated / head
    return Config(members | {"rope_parameters": rope})
