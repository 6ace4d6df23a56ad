"""Tiny adapters: one by hand, and one for each tiny model that changes all it can."""

from __future__ import annotations

from tests.models.create.convert.all_cases import CASES
from tests.models.create.convert.checkpoints import Case, Shape

RANK = 4
SETTINGS = {"adapter_config.json": {"lora_alpha": 16, "r": RANK, "peft_type": "LORA"}}
NOT_CHANGED = ("embed", "lm_head", "norm", "visual.", "vision", "audio", "sound_", "projector", "mlp1.", "token_type",
               "sam_model", "mtp.", "altup", "eh_proj")  # fmt: skip
"""Parts of names: of towers, of vectors of tokens, of what adapters leave alone."""

ADAPTER = Case(
    "tiny-lora-7b",
    {},
    {
        f"base_model.model.model.layers.{block}.{name}.lora_{side}.weight": shape
        for block in range(2)
        for name, (n_out, n_in) in (("self_attn.q_proj", (64, 64)), ("self_attn.k_proj", (32, 64)),
                                    ("mlp.down_proj", (64, 96)))
        for side, shape in (("A", (RANK, n_in)), ("B", (n_out, RANK)))
    },
    lambda directory, config: None,
    files=SETTINGS,
    weights="adapter_model",
)  # fmt: skip
"""For `tiny-llama-2k`."""


def adapter_of(case: Case, without: tuple[str, ...] = ()) -> Case:
    """What changes every matrix of a model that is multiplied with, but for those with such a part in their names."""
    tensors: dict[str, Shape] = {}
    for name, shape in case.tensors.items():
        stem = name.partition(":")[0].removesuffix(".weight")
        is_matrix = len(shape) == 2 and f"{stem}.weight" in name
        if is_matrix and not any(part in name for part in (*NOT_CHANGED, *without)):
            tensors[f"base_model.model.{stem}.lora_A.weight"] = (RANK, shape[1])
            tensors[f"base_model.model.{stem}.lora_B.weight"] = (shape[0], RANK)
    return Case(f"lora-{case.name}", {}, tensors, ADAPTER.tokenizer, files=SETTINGS, weights="adapter_model")


COMPARED = {
    "Mixtral-4x1M-v0.1": (), "Qwen2-tiny": (), "Qwen2-tiny-A1M": (), "Qwen3-tiny-moe": (), "tiny-gemma-2": (),
    "gemma-3-tiny-it": (), "Phi-3-tiny-128k-instruct": (), "c4ai-tiny-command-r": (), "OLMo-2-tiny": (),
    "GLM-4-tiny-0414": (), "Qwen3.5-tiny": (), "Nemotron-H-tiny-moe": (), "LFM2-tiny-A1M": (),
    "DeepSeek-V2-tiny": ("kv_b_proj",), "gpt-oss-tiny": (), "gemma-4-tiny": (), "Laguna-tiny": (),
    "Llama-4-tiny-4E": (), "Qwen3-VL-tiny": (), "tiny-bert": (),
}  # fmt: skip
"""Models whose adapters upstream's converter can convert, without the tensors where it cannot: it fails on GLM-OCR and
Qwen3-Next, and on what is transposed."""

ADAPTERS = {ADAPTER.name: (ADAPTER, "tiny-llama-2k")} | {
    f"lora-{name}": (adapter_of(CASES[name], without), name) for name, without in COMPARED.items()
}
"""By name: what is compared with upstream's, and the model that it is for."""
