"""Tiny models of DeepSeek, and of GLM 4.7, which is built alike."""

from __future__ import annotations

from typing import Any

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import N_BPE, both, config, feed_forward
from tests.models.create.convert.tokenizers import byte_pair_tokenizer


def mla(n_vocab: int, n_layers: int, *, q_rank: bool) -> dict[str, Shape]:
    """DeepSeek's layers, the first dense, the others with four experts."""
    tensors: dict[str, Shape] = {
        "model.embed_tokens.weight": (n_vocab, 64), "model.norm.weight": (64,), "lm_head.weight": (n_vocab, 64),
    }  # fmt: skip
    for block in range(n_layers):
        at = f"model.layers.{block}."
        tensors |= {f"{at}{norm}.weight": (64,) for norm in ("input_layernorm", "post_attention_layernorm")}
        if q_rank:
            tensors |= {f"{at}self_attn.q_a_proj.weight": (24, 64), f"{at}self_attn.q_a_layernorm.weight": (24,)}
            tensors[f"{at}self_attn.q_b_proj.weight"] = (4 * 24, 24)
        else:
            tensors[f"{at}self_attn.q_proj.weight"] = (4 * 24, 64)
        tensors |= {
            f"{at}self_attn.kv_a_proj_with_mqa.weight": (40, 64), f"{at}self_attn.kv_a_layernorm.weight": (32,),
            f"{at}self_attn.kv_b_proj.weight": (4 * 32, 32), f"{at}self_attn.o_proj.weight": (64, 64),
        }  # fmt: skip
        if block == 0:
            tensors |= feed_forward(f"{at}mlp.", 64, 96)
            continue
        tensors |= {f"{at}mlp.gate.weight": (4, 64), f"{at}mlp.gate.e_score_correction_bias:F32": (4,)}
        tensors |= feed_forward(f"{at}mlp.shared_experts.", 64, 32)
        for expert in range(4):
            tensors |= feed_forward(f"{at}mlp.experts.{expert}.", 64, 32)
    return tensors


MLA: dict[str, Any] = {
    "kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16, "first_k_dense_replace": 1,
    "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
    "routed_scaling_factor": 2.5, "norm_topk_prob": True, "scoring_func": "sigmoid", "n_group": 2, "topk_group": 1,
    "num_key_value_heads": 4,
}  # fmt: skip


def deepseek2() -> Case:
    """As DeepSeek V2 Lite: queries come from no small vector, experts are chosen without a correction."""
    rope = {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707,
            "original_max_position_embeddings": 128}  # fmt: skip
    tensors = {name: shape for name, shape in mla(N_BPE, 3, q_rank=False).items() if "e_score_correction" not in name}
    others = {"scoring_func": "softmax", "n_group": 1, "routed_scaling_factor": 1.0, "norm_topk_prob": False}
    return Case(
        "DeepSeek-V2-tiny",
        config("DeepseekV2ForCausalLM", "deepseek_v2", N_BPE, q_lora_rank=None, rope_scaling=rope,
               num_hidden_layers=3, **MLA | others),
        tensors,
        byte_pair_tokenizer(),
        pre="llama-bpe",
    )  # fmt: skip


def deepseek3() -> Case:
    rope = {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 128}  # fmt: skip
    tensors = mla(N_BPE, 3, q_rank=True)
    return Case(
        "DeepSeek-V3-tiny",
        config("DeepseekV3ForCausalLM", "deepseek_v3", N_BPE, q_lora_rank=24, rope_scaling=rope,
               num_nextn_predict_layers=1, **MLA),
        tensors,  # the last layer guesses ahead and is left out
        byte_pair_tokenizer(),
        pre="llama-bpe",
    )  # fmt: skip


def glm4_moe_lite() -> Case:
    tensors = mla(N_BPE, 3, q_rank=True)
    at = "model.layers.2."
    tensors |= {f"{at}eh_proj.weight": (64, 128), f"{at}enorm.weight": (64,), f"{at}hnorm.weight": (64,)}
    tensors[f"{at}shared_head.norm.weight"] = (64,)
    specials = ("<|endoftext|>", "[gMASK]", "<|user|>", "<|observation|>")
    return Case(
        "GLM-4.7-Tiny",
        config("Glm4MoeLiteForCausalLM", "glm4_moe_lite", N_BPE, q_lora_rank=24, num_nextn_predict_layers=1,
               eos_token_id=[263, 265], pad_token_id=263, **MLA),
        tensors,
        byte_pair_tokenizer(specials=specials, bos_token=None, eos_token="<|endoftext|>"),
        pre="llama-bpe",
    )  # fmt: skip


def deepseek_ocr() -> Case:
    text: dict[str, Any] = {
        "architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 263, "eos_token_id": 264, "hidden_size": 64,
        "first_k_dense_replace": 1, "intermediate_size": 96, "kv_lora_rank": None, "max_position_embeddings": 512,
        "moe_intermediate_size": 32, "n_group": 1, "n_routed_experts": 4, "n_shared_experts": 2,
        "num_attention_heads": 4, "num_experts_per_tok": 2, "num_hidden_layers": 2, "num_key_value_heads": 4,
        "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0, "v_head_dim": 0, "topk_group": 1,
        "topk_method": "greedy", "use_mla": False, "vocab_size": N_BPE,
    }  # fmt: skip
    towers = {
        "clip-l-14-224": {"heads": 2, "image_size": 224, "layers": 4, "patch_size": 14, "width": 32},
        "sam_vit_b": {"downsample_channels": [32, 64], "global_attn_indexes": [1], "heads": 2, "layers": 2,
                      "width": 32},
    }  # fmt: skip
    vision = {"image_size": 1024, "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision",
              "width": towers}  # fmt: skip
    members = text | {"architectures": ["DeepseekOCRForCausalLM"], "model_type": "deepseek_vl_v2",
                      "language_config": text, "vision_config": vision}  # fmt: skip
    pictures = {"processor_config.json": {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}}
    tensors = deepseek_ocr_decoder() | sam_tower() | clip_tower()
    return Case("DeepSeek-OCR-tiny", members, tensors, byte_pair_tokenizer(), pre="llama-bpe", sees=True,
                files=pictures)  # fmt: skip


def deepseek_ocr_decoder() -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "model.embed_tokens.weight": (N_BPE, 64), "model.norm.weight": (64,), "lm_head.weight": (N_BPE, 64),
    }  # fmt: skip
    for block in range(2):
        at = f"model.layers.{block}."
        tensors |= {f"{at}{norm}.weight": (64,) for norm in ("input_layernorm", "post_attention_layernorm")}
        tensors |= {f"{at}self_attn.{letter}_proj.weight": (64, 64) for letter in "qkvo"}
        if block == 0:
            tensors |= feed_forward(f"{at}mlp.", 64, 96)
            continue
        tensors |= {f"{at}mlp.gate.weight": (4, 64)} | feed_forward(f"{at}mlp.shared_experts.", 64, 64)
        for expert in range(4):
            tensors |= feed_forward(f"{at}mlp.experts.{expert}.", 64, 32)
    return tensors


def sam_tower() -> dict[str, Shape]:
    at = "model.sam_model."
    tensors = both(f"{at}patch_embed.proj", 32, (32, 3, 4, 4)) | {f"{at}pos_embed": (1, 8, 8, 32)}
    for block in range(2):
        here = f"{at}blocks.{block}."
        tensors |= both(f"{here}norm1", 32, (32,)) | both(f"{here}norm2", 32, (32,))
        tensors |= both(f"{here}attn.qkv", 96, (96, 32)) | both(f"{here}attn.proj", 32, (32, 32))
        tensors |= {f"{here}attn.rel_pos_{letter}": (15, 16) for letter in "hw"}
        tensors |= both(f"{here}mlp.lin1", 48, (48, 32)) | both(f"{here}mlp.lin2", 32, (32, 48))
    tensors |= {f"{at}neck.0.weight": (16, 32, 1, 1), f"{at}neck.2.weight": (16, 16, 3, 3)}
    tensors |= both(f"{at}neck.1", 16, (16,)) | both(f"{at}neck.3", 16, (16,))
    return tensors | {f"{at}net_2.weight": (32, 16, 3, 3), f"{at}net_3.weight": (32, 32, 3, 3)}


def clip_tower() -> dict[str, Shape]:
    at = "model.vision_model."
    tensors: dict[str, Shape] = {
        f"{at}embeddings.class_embedding": (32,), f"{at}embeddings.patch_embedding.weight": (32, 3, 14, 14),
        f"{at}embeddings.position_embedding.weight": (257, 32), "model.image_newline": (64,),
        "model.view_seperator": (64,),
    } | both(f"{at}pre_layrnorm", 32, (32,)) | both("model.projector.layers", 64, (64, 64))  # fmt: skip
    for block in range(4):
        here = f"{at}transformer.layers.{block}."
        tensors |= both(f"{here}layer_norm1", 32, (32,)) | both(f"{here}layer_norm2", 32, (32,))
        tensors |= both(f"{here}self_attn.qkv_proj", 96, (96, 32)) | both(f"{here}self_attn.out_proj", 32, (32, 32))
        tensors |= both(f"{here}mlp.fc1", 128, (128, 32)) | both(f"{here}mlp.fc2", 32, (32, 128))
    return tensors


CASES = [deepseek2(), deepseek3(), glm4_moe_lite(), deepseek_ocr()]
