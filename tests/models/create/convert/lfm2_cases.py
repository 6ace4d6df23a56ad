"""Tiny models of LFM 2."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import N_BPE, PICTURES, both, config
from tests.models.create.convert.tokenizers import byte_pair_tokenizer


def convolution(prefix: str) -> dict[str, Shape]:
    return {f"{prefix}conv.conv.weight": (64, 1, 3), f"{prefix}conv.in_proj.weight": (192, 64),
            f"{prefix}conv.out_proj.weight": (64, 64)}  # fmt: skip


def lfm2_tensors(*, moe: bool) -> dict[str, Shape]:
    tensors: dict[str, Shape] = {"model.embed_tokens.weight": (N_BPE, 64), "model.embedding_norm.weight": (64,)}
    for block in range(3):
        at = f"model.layers.{block}."
        tensors |= {f"{at}operator_norm.weight": (64,), f"{at}ffn_norm.weight": (64,)}
        if block == 1:
            tensors |= {f"{at}self_attn.q_proj.weight": (64, 64), f"{at}self_attn.k_proj.weight": (32, 64)}
            tensors |= {f"{at}self_attn.v_proj.weight": (32, 64), f"{at}self_attn.out_proj.weight": (64, 64)}
            tensors |= {f"{at}self_attn.{letter}_layernorm.weight": (16,) for letter in "qk"}
        else:
            tensors |= convolution(at)
        if not moe or block == 0:
            tensors |= {f"{at}feed_forward.{part}.weight": (128, 64) for part in ("w1", "w3")}
            tensors[f"{at}feed_forward.w2.weight"] = (64, 128)
            continue
        tensors |= {f"{at}feed_forward.gate.weight": (4, 64), f"{at}feed_forward.expert_bias:F32": (4,)}
        for expert in range(4):
            tensors |= {f"{at}feed_forward.experts.{expert}.{part}.weight": (32, 64) for part in ("w1", "w3")}
            tensors[f"{at}feed_forward.experts.{expert}.w2.weight"] = (64, 32)
    return tensors


LFM2 = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "conv_L_cache": 3, "norm_eps": 1e-5}


def lfm2() -> Case:
    return Case(
        "LFM2-tiny",
        config("Lfm2ForCausalLM", "lfm2", N_BPE, block_ff_dim=160, block_multiple_of=32, block_auto_adjust_ff_dim=True,
               block_ffn_dim_multiplier=1.0, intermediate_size=160, rope_theta=1000000.0, **LFM2),
        lfm2_tensors(moe=False),
        byte_pair_tokenizer(),
        pre="llama-bpe",
    )  # fmt: skip


def lfm2_moe() -> Case:
    return Case(
        "LFM2-tiny-A1M",
        config("Lfm2MoeForCausalLM", "lfm2_moe", N_BPE, intermediate_size=128, num_experts=4, num_experts_per_tok=2,
               moe_intermediate_size=32, num_dense_layers=1, use_expert_bias=True, norm_topk_prob=True, **LFM2),
        lfm2_tensors(moe=True),
        byte_pair_tokenizer(),
        pre="llama-bpe",
    )  # fmt: skip


def lfm2_vl() -> Case:
    tensors = {name.replace("model.", "model.language_model.", 1): shape
               for name, shape in lfm2_tensors(moe=False).items()}  # fmt: skip
    text = config("Lfm2ForCausalLM", "lfm2", N_BPE, block_ff_dim=160, block_multiple_of=32, intermediate_size=160,
                  block_auto_adjust_ff_dim=True, block_ffn_dim_multiplier=1.0, rope_theta=1000000.0,
                  **LFM2)  # fmt: skip
    vision = {"model_type": "siglip2_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
              "num_attention_heads": 2, "patch_size": 16, "num_patches": 16, "layer_norm_eps": 1e-6}  # fmt: skip
    members = {"architectures": ["Lfm2VlForConditionalGeneration"], "model_type": "lfm2-vl", "text_config": text,
               "vision_config": vision, "downsample_factor": 2, "vision_feature_layer": -2}  # fmt: skip
    return Case("LFM2-VL-tiny", members, tensors | siglip2_tower(), byte_pair_tokenizer(), pre="llama-bpe", sees=True,
                files=PICTURES)  # fmt: skip


def siglip2_tower() -> dict[str, Shape]:
    at = "model.vision_tower.vision_model."
    tensors = both(f"{at}embeddings.patch_embedding", 32, (32, 768)) | both(f"{at}post_layernorm", 32, (32,))
    tensors[f"{at}embeddings.position_embedding.weight"] = (16, 32)
    for block in range(3):
        here = f"{at}encoder.layers.{block}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors |= both(f"{here}self_attn.{name}", 32, (32, 32))
        tensors |= both(f"{here}layer_norm1", 32, (32,)) | both(f"{here}layer_norm2", 32, (32,))
        tensors |= both(f"{here}mlp.fc1", 48, (48, 32)) | both(f"{here}mlp.fc2", 32, (32, 48))
    at = "model.multi_modal_projector."
    tensors |= both(f"{at}layer_norm", 128, (128,)) | both(f"{at}linear_1", 80, (80, 128))
    return tensors | both(f"{at}linear_2", 64, (64, 80))


CASES = [lfm2(), lfm2_moe(), lfm2_vl()]
