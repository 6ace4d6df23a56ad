"""Tiny adapters."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case

ADAPTER = Case(
    "tiny-lora-7b",
    {},
    {
        f"base_model.model.model.layers.{block}.{name}.lora_{side}.weight": shape
        for block in range(2)
        for name, (n_out, n_in) in (("self_attn.q_proj", (64, 64)), ("self_attn.k_proj", (32, 64)),
                                    ("mlp.down_proj", (64, 96)))
        for side, shape in (("A", (4, n_in)), ("B", (n_out, 4)))
    },
    lambda directory, config: None,
    files={"adapter_config.json": {"lora_alpha": 16, "r": 4, "peft_type": "LORA"}},
    weights="adapter_model",
)  # fmt: skip
"""For `tiny-llama-2k`."""
