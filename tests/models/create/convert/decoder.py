"""Shapes that many models share, and the configuration that most have."""

from __future__ import annotations

from typing import Any

from tests.models.create.convert.checkpoints import Shape
from tests.models.create.convert.tokenizers import N_SENTENCE_PIECES

N_BPE = 272
"""Tokens of the byte-pair tokenizer, and a few that stand for nothing."""

N_SPM = N_SENTENCE_PIECES + 11

PICTURES = {"preprocessor_config.json": {"image_mean": [0.5, 0.25, 0.5], "image_std": [0.5, 0.5, 0.75]}}

MEAN = {
    "modules.json": [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}],
    "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
}

GEMMA_NORMS = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip

EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
           "shared_expert_intermediate_size": 32}  # fmt: skip


def decoder(
    n_vocab: int, *, n_embd: int = 64, n_ff: int = 96, n_head: int = 4, n_kv: int = 2, head: int = 16, n_layer: int = 2,
    prefix: str = "model.", tied: bool = False, biases: bool = False, qk_norms: int = 0, mlp: bool = True,
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm"),
) -> dict[str, Shape]:  # fmt: skip
    """The tensors that most models have."""
    tensors: dict[str, Shape] = {f"{prefix}embed_tokens.weight": (n_vocab, n_embd), f"{prefix}norm.weight": (n_embd,)}
    if not tied:
        tensors["lm_head.weight"] = (n_vocab, n_embd)
    for block in range(n_layer):
        at = f"{prefix}layers.{block}."
        tensors |= {f"{at}{norm}.weight": (n_embd,) for norm in norms}
        for letter, heads in (("q", n_head), ("k", n_kv), ("v", n_kv)):
            tensors[f"{at}self_attn.{letter}_proj.weight"] = (heads * head, n_embd)
            if biases:
                tensors[f"{at}self_attn.{letter}_proj.bias"] = (heads * head,)
        tensors[f"{at}self_attn.o_proj.weight"] = (n_embd, n_head * head)
        if qk_norms:
            tensors |= {f"{at}self_attn.{letter}_norm.weight": (qk_norms,) for letter in "qk"}
        if mlp:
            tensors |= feed_forward(f"{at}mlp.", n_embd, n_ff)
    return tensors


def feed_forward(at: str, n_embd: int, n_ff: int) -> dict[str, Shape]:
    return {
        f"{at}gate_proj.weight": (n_ff, n_embd),
        f"{at}up_proj.weight": (n_ff, n_embd),
        f"{at}down_proj.weight": (n_embd, n_ff),
    }


def both(name: str, n: int, shape: Shape) -> dict[str, Shape]:
    """A matrix and what is added to its products."""
    return {f"{name}.weight": shape, f"{name}.bias": (n,)}


def config(architecture: str, model_type: str, n_vocab: int, **more: Any) -> dict[str, Any]:
    usual = {
        "architectures": [architecture], "model_type": model_type, "vocab_size": n_vocab, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
    }  # fmt: skip
    return usual | more
