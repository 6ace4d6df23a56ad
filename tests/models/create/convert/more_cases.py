"""Tiny models of the architectures that are less alike."""

from __future__ import annotations

from typing import Any

from tests.models.create.convert.cases import GEMMA_NORMS, N_BPE, N_SPM, config, decoder, feed_forward
from tests.models.create.convert.checkpoints import (
    QWEN2,
    QWEN35,
    TEKKEN,
    Case,
    Shape,
    byte_pair_tokenizer,
    fallback_tokenizer,
    sentencepiece_tokenizer,
    unigram_tokenizer,
    word_tokenizer,
)

NOMIC = {
    "model_type": "nomic_bert", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "causal": False,
    "prenorm": False, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
    "rotary_emb_base": 1000, "layer_norm_epsilon": 1e-12, "type_vocab_size": 2,
}  # fmt: skip
MEAN = {
    "modules.json": [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}],
    "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
}


def nomic(n_vocab: int, *, moe: bool) -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (n_vocab, 64), "embeddings.token_type_embeddings.weight": (2, 64),
        "emb_ln.weight": (64,), "emb_ln.bias": (64,),
    }  # fmt: skip
    for block in range(2):
        at = f"encoder.layers.{block}."
        tensors |= {f"{at}attn.Wqkv.weight": (192, 64), f"{at}attn.out_proj.weight": (64, 64)}
        tensors |= {f"{at}norm{n}.{part}": (64,) for n in (1, 2) for part in ("weight", "bias")}
        if not moe:
            tensors |= {f"{at}mlp.{part}.weight": (96, 64) for part in ("fc11", "fc12")}
            tensors[f"{at}mlp.fc2.weight"] = (64, 96)
            continue
        tensors |= {f"{at}attn.Wqkv.bias": (192,), f"{at}attn.out_proj.bias": (64,)}
        if block % 2:
            tensors |= {f"{at}mlp.experts.mlp.w1": (4 * 96, 64), f"{at}mlp.experts.mlp.w2": (4 * 96, 64)}
            tensors |= {f"{at}mlp.experts.bias": (64,), f"{at}mlp.router.layer.weight": (4, 64)}
        else:
            tensors |= {f"{at}mlp.fc1.weight": (96, 64), f"{at}mlp.fc1.bias": (96,)}
            tensors |= {f"{at}mlp.fc2.weight": (64, 96), f"{at}mlp.fc2.bias": (64,)}
    return tensors


def nomic_bert() -> Case:
    members = NOMIC | {
        "architectures": ["NomicBertModel"], "vocab_size": 20, "n_positions": 8192, "max_trained_positions": 2048,
        "activation_function": "swiglu", "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
    }  # fmt: skip
    return Case("nomic-embed-tiny-v1.5", members, nomic(20, moe=False), word_tokenizer, dtype="F32", files=MEAN)


def nomic_bert_moe() -> Case:
    members = NOMIC | {
        "architectures": ["NomicBertModel"], "vocab_size": 28, "n_positions": 2048, "max_trained_positions": 2048,
        "activation_function": "gelu", "qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True,
        "moe_every_n_layers": 2, "moe_top_k": 2, "num_experts": 4, "pad_token_id": 1, "max_position_embeddings": 2050,
    }  # fmt: skip
    return Case("nomic-embed-tiny-v2-moe", members, nomic(28, moe=True), unigram_tokenizer, dtype="F32", files=MEAN)


def gpt_oss() -> Case:
    tensors = decoder(N_BPE, biases=True, mlp=False)
    for block in range(2):
        at = f"model.layers.{block}."
        tensors |= {f"{at}self_attn.o_proj.bias": (64,), f"{at}self_attn.sinks": (4,)}
        tensors |= {f"{at}mlp.router.weight": (4, 64), f"{at}mlp.router.bias": (4,)}
        tensors |= {
            f"{at}mlp.experts.gate_up_proj_blocks:U8": (4, 192, 2, 16),
            f"{at}mlp.experts.gate_up_proj_scales:U8": (4, 192, 2), f"{at}mlp.experts.gate_up_proj_bias": (4, 192),
            f"{at}mlp.experts.down_proj_blocks:U8": (4, 64, 3, 16), f"{at}mlp.experts.down_proj_scales:U8": (4, 64, 3),
            f"{at}mlp.experts.down_proj_bias": (4, 64),
        }  # fmt: skip
    rope = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
            "original_max_position_embeddings": 128}  # fmt: skip
    return Case(
        "gpt-oss-tiny",
        config("GptOssForCausalLM", "gpt_oss", N_BPE, head_dim=16, num_local_experts=4, num_experts_per_tok=2,
               sliding_window=32, rope_scaling=rope, rope_theta=150000, quantization_config={"quant_method": "mxfp4"}),
        tensors,
        byte_pair_tokenizer(),
        pre="llama-bpe",
    )  # fmt: skip


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


def llama4() -> Case:
    tensors = decoder(N_BPE, prefix="language_model.model.", mlp=False, tied=True)
    for block in range(2):
        at = f"language_model.model.layers.{block}.feed_forward."
        if block % 2 == 0:
            tensors |= feed_forward(at, 64, 96)
            continue
        tensors |= {f"{at}router.weight": (4, 64), f"{at}experts.gate_up_proj": (4, 64, 64)}
        tensors[f"{at}experts.down_proj"] = (4, 32, 64)
        tensors |= feed_forward(f"{at}shared_expert.", 64, 32)
    tensors |= {"language_model.lm_head.weight": (N_BPE, 64)}
    tensors |= llama4_tower()
    text = config("Llama4ForCausalLM", "llama4_text", N_BPE, head_dim=16, intermediate_size=32,
                  intermediate_size_mlp=96, num_local_experts=4, num_experts_per_tok=1, interleave_moe_layer_step=2,
                  rope_theta=500000.0)  # fmt: skip
    members = {"architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4", "text_config": text,
               "vision_config": {"model_type": "llama4_vision_model", "hidden_size": 32, "intermediate_size": 48,
                                 "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 4, "image_size": 32,
                                 "norm_eps": 1e-5, "pixel_shuffle_ratio": 0.5, "hidden_act": "gelu"}}  # fmt: skip
    return Case("Llama-4-tiny-4E", members, tensors, byte_pair_tokenizer(template=True), pre="llama-bpe", sees=True,
                files=PICTURES)  # fmt: skip


def llama4_tower() -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "vision_model.class_embedding": (32,), "vision_model.positional_embedding_vlm": (65, 32),
        "vision_model.patch_embedding.linear.weight": (32, 48), "multi_modal_projector.linear_1.weight": (64, 64),
        "vision_model.vision_adapter.mlp.fc1.weight": (48, 128), "vision_model.vision_adapter.mlp.fc2.weight": (64, 48),
    }  # fmt: skip
    tensors |= {f"vision_model.layernorm_{at}.{part}": (32,) for at in ("pre", "post") for part in ("weight", "bias")}
    for block in range(3):
        at = f"vision_model.model.layers.{block}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors |= {f"{at}{name}.{part}": (32,) for part in ("weight", "bias")}
        for name, shape in (("self_attn.q_proj", (32, 32)), ("self_attn.k_proj", (32, 32)), ("mlp.fc1", (48, 32)),
                            ("self_attn.v_proj", (32, 32)), ("self_attn.o_proj", (32, 32)),
                            ("mlp.fc2", (32, 48))):  # fmt: skip
            tensors |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
    return tensors


def mistral3() -> Case:
    tensors = decoder(N_BPE, prefix="language_model.model.", head=24)
    tensors |= {"language_model.lm_head.weight": tensors.pop("lm_head.weight")}
    tensors |= pixtral_tower()
    text = config("", "mistral", N_BPE, head_dim=24, rope_theta=1000000000.0)
    del text["architectures"]
    members = {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3", "text_config": text,
               "spatial_merge_size": 2,
               "vision_config": {"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 48, "image_size": 32,
                                 "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 4, "head_dim": 16,
                                 "hidden_act": "silu", "rope_theta": 10000.0}}  # fmt: skip
    tokenizer = byte_pair_tokenizer(TEKKEN, ("<s>", "</s>", "[IMG_BREAK]"))
    return Case("Mistral-Tiny-3.1-Instruct", members, tensors, tokenizer, pre="tekken", sees=True, files=PICTURES)


def ministral3() -> Case:
    rope = {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0, "original_max_position_embeddings": 256,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1}  # fmt: skip
    members = config("Ministral3ForCausalLM", "ministral3", N_BPE, head_dim=16, rope_parameters=rope)
    del members["rope_theta"]
    return Case("Ministral-3-tiny", members, decoder(N_BPE), byte_pair_tokenizer(TEKKEN), pre="tekken")


def embedding_gemma() -> Case:
    tensors = decoder(N_SPM, prefix="", tied=True, norms=GEMMA_NORMS, qk_norms=16)
    members = config("Gemma3TextModel", "gemma3_text", N_SPM, head_dim=16, sliding_window=64, rope_theta=1000000.0,
                     rope_local_base_freq=10000.0, use_bidirectional_attention=True)  # fmt: skip
    return Case("embeddinggemma-tiny", members, tensors, sentencepiece_tokenizer(), dtype="F32", files=MEAN)


PICTURES = {"preprocessor_config.json": {"image_mean": [0.5, 0.25, 0.5], "image_std": [0.5, 0.5, 0.75]}}


def qwen25_tower() -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "visual.patch_embed.proj.weight": (32, 3, 2, 4, 4), "visual.merger.ln_q.weight": (32,),
        "visual.merger.mlp.0.weight": (128, 128), "visual.merger.mlp.0.bias": (128,),
        "visual.merger.mlp.2.weight": (64, 128), "visual.merger.mlp.2.bias": (64,),
    }  # fmt: skip
    for block in range(4):
        at = f"visual.blocks.{block}."
        tensors |= {f"{at}norm{n}.weight": (32,) for n in (1, 2)}
        tensors |= {f"{at}attn.qkv.weight": (96, 32), f"{at}attn.qkv.bias": (96,)}
        tensors |= {f"{at}attn.proj.weight": (32, 32), f"{at}attn.proj.bias": (32,)}
        for part, shape in (("gate", (48, 32)), ("up", (48, 32)), ("down", (32, 48))):
            tensors |= {f"{at}mlp.{part}_proj.weight": shape, f"{at}mlp.{part}_proj.bias": shape[:1]}
    return tensors


def qwen3_tower(spoken: int) -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "model.visual.patch_embed.proj.weight": (32, 3, 2, 4, 4), "model.visual.patch_embed.proj.bias": (32,),
        "model.visual.pos_embed.weight": (16, 32),
    }  # fmt: skip
    mergers = ["merger", *(f"deepstack_merger_list.{i}" for i in range(spoken))]
    for merger in mergers:
        at, width = f"model.visual.{merger}.", 32 if merger == "merger" else 128
        tensors |= {f"{at}norm.weight": (width,), f"{at}norm.bias": (width,)}
        tensors |= {f"{at}linear_fc1.weight": (128, 128), f"{at}linear_fc1.bias": (128,)}
        tensors |= {f"{at}linear_fc2.weight": (64, 128), f"{at}linear_fc2.bias": (64,)}
    for block in range(2):
        at = f"model.visual.blocks.{block}."
        for name, shape in (("attn.qkv", (96, 32)), ("attn.proj", (32, 32)), ("mlp.linear_fc1", (48, 32)),
                            ("mlp.linear_fc2", (32, 48))):  # fmt: skip
            tensors |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        tensors |= {f"{at}norm{n}.{part}": (32,) for n in (1, 2) for part in ("weight", "bias")}
    return tensors


def pixtral_tower() -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "vision_tower.patch_conv.weight": (32, 3, 4, 4), "vision_tower.ln_pre.weight": (32,),
        "multi_modal_projector.norm.weight": (32,), "multi_modal_projector.linear_1.weight": (64, 32),
        "multi_modal_projector.linear_2.weight": (64, 64),
        "multi_modal_projector.patch_merger.merging_layer.weight": (32, 128),
    }  # fmt: skip
    for block in range(3):
        at = f"vision_tower.transformer.layers.{block}."
        tensors |= {f"{at}{norm}.weight": (32,) for norm in ("attention_norm", "ffn_norm")}
        tensors |= {f"{at}attention.{letter}_proj.weight": (32, 32) for letter in "qkvo"}
        tensors |= feed_forward(f"{at}feed_forward.", 32, 48)
    return tensors


def siglip_tower() -> dict[str, Shape]:
    at = "vision_tower.vision_model."
    tensors: dict[str, Shape] = {
        f"{at}embeddings.patch_embedding.weight": (32, 3, 4, 4), f"{at}embeddings.patch_embedding.bias": (32,),
        f"{at}embeddings.position_embedding.weight": (64, 32), f"{at}post_layernorm.weight": (32,),
        f"{at}post_layernorm.bias": (32,), "multi_modal_projector.mm_input_projection_weight": (32, 64),
        "multi_modal_projector.mm_soft_emb_norm.weight": (32,),
    }  # fmt: skip
    for block in range(2):
        at = f"vision_tower.vision_model.encoder.layers.{block}."
        tensors |= {f"{at}layer_norm{n}.{part}": (32,) for n in (1, 2) for part in ("weight", "bias")}
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors |= {f"{at}self_attn.{name}.weight": (32, 32), f"{at}self_attn.{name}.bias": (32,)}
        for name, shape in (("fc1", (48, 32)), ("fc2", (32, 48))):
            tensors |= {f"{at}mlp.{name}.weight": shape, f"{at}mlp.{name}.bias": shape[:1]}
    return tensors


def gemma3_that_sees() -> Case:
    tensors = {f"language_model.{name}": shape
               for name, shape in decoder(N_SPM, tied=True, norms=GEMMA_NORMS, qk_norms=16).items()}  # fmt: skip
    text = config("", "gemma3_text", N_SPM, head_dim=16, sliding_window=64, rope_theta=1000000.0,
                  rope_local_base_freq=10000.0)  # fmt: skip
    del text["architectures"]
    vision = {"model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
              "num_attention_heads": 2, "image_size": 32, "patch_size": 4, "vision_use_head": False}  # fmt: skip
    members = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": text,
               "vision_config": vision}  # fmt: skip
    pictures = {"preprocessor_config.json": PICTURES["preprocessor_config.json"] | {"image_seq_length": 16}}
    return Case("gemma-3-tiny-it", members, tensors | siglip_tower(), sentencepiece_tokenizer(), sees=True,
                files=pictures)  # fmt: skip


def qwen25_vl() -> Case:
    tensors = decoder(N_BPE, biases=True) | qwen25_tower()
    rope = {"type": "mrope", "mrope_section": [2, 3, 3]}
    vision = {"model_type": "qwen2_5_vl", "depth": 4, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
              "patch_size": 4, "spatial_merge_size": 2, "fullatt_block_indexes": [1, 3],
              "out_hidden_size": 64}  # fmt: skip
    members = config("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", N_BPE, rope_scaling=rope, vision_config=vision)
    return Case("Qwen2.5-VL-tiny", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2", sees=True, files=PICTURES)


DEEPSTACK = {"deepstack_visual_indexes": [1], "model_type": "qwen3_vl", "depth": 2, "hidden_size": 32,
             "intermediate_size": 48, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2,
             "num_position_embeddings": 16, "out_hidden_size": 64}  # fmt: skip


def qwen3_vl() -> Case:
    tensors = decoder(N_BPE, prefix="model.language_model.", head=32, qk_norms=32)
    tensors |= qwen3_tower(1)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "mrope_interleaved": True}
    text = config("Qwen3VLForConditionalGeneration", "qwen3_vl_text", N_BPE, head_dim=32, rope_scaling=rope)
    members = {"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "text_config": text,
               "vision_config": DEEPSTACK}  # fmt: skip
    return Case("Qwen3-VL-tiny", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2", sees=True, files=PICTURES)


def qwen3_vl_moe() -> Case:
    tensors = decoder(N_BPE, prefix="model.language_model.", head=32, qk_norms=32, mlp=False)
    for block in range(2):
        at = f"model.language_model.layers.{block}.mlp."
        tensors |= {f"{at}gate.weight": (4, 64), f"{at}experts.gate_up_proj": (4, 64, 96)}
        tensors[f"{at}experts.down_proj"] = (4, 48, 64)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "mrope_interleaved": True}
    text = config("Qwen3VLMoeForConditionalGeneration", "qwen3_vl_moe_text", N_BPE, head_dim=32,
                  rope_scaling=rope, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=48)  # fmt: skip
    members = {"architectures": ["Qwen3VLMoeForConditionalGeneration"], "model_type": "qwen3_vl_moe",
               "text_config": text, "vision_config": DEEPSTACK | {"model_type": "qwen3_vl_moe"}}  # fmt: skip
    return Case("Qwen3-VL-tiny-moe", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2")


def linear_attention(at: str, *, fused: bool) -> dict[str, Shape]:
    """Two heads of keys, four of values, 16 each."""
    tensors: dict[str, Shape] = {
        f"{at}linear_attn.A_log": (4,), f"{at}linear_attn.dt_bias": (4,), f"{at}linear_attn.norm.weight": (16,),
        f"{at}linear_attn.conv1d.weight": (128, 1, 4), f"{at}linear_attn.out_proj.weight": (64, 64),
    }  # fmt: skip
    if fused:
        return tensors | {
            f"{at}linear_attn.in_proj_qkvz.weight": (192, 64),
            f"{at}linear_attn.in_proj_ba.weight": (8, 64),
        }
    tensors |= {f"{at}linear_attn.in_proj_qkv.weight": (128, 64), f"{at}linear_attn.in_proj_z.weight": (64, 64)}
    return tensors | {f"{at}linear_attn.in_proj_{letter}.weight": (4, 64) for letter in "ab"}


def gated_attention(at: str) -> dict[str, Shape]:
    return {
        f"{at}self_attn.q_proj.weight": (128, 64), f"{at}self_attn.k_proj.weight": (32, 64),
        f"{at}self_attn.v_proj.weight": (32, 64), f"{at}self_attn.o_proj.weight": (64, 64),
        f"{at}self_attn.q_norm.weight": (16,), f"{at}self_attn.k_norm.weight": (16,),
    }  # fmt: skip


LINEAR = {"linear_conv_kernel_dim": 4, "linear_key_head_dim": 16, "linear_num_key_heads": 2, "head_dim": 16,
          "linear_num_value_heads": 4, "linear_value_head_dim": 16, "full_attention_interval": 2,
          "layer_types": ["linear_attention", "full_attention"]}  # fmt: skip


def next_tensors(prefix: str, *, fused: bool, moe: bool) -> dict[str, Shape]:
    tensors: dict[str, Shape] = {f"{prefix}embed_tokens.weight": (N_BPE, 64), f"{prefix}norm.weight": (64,)}
    tensors["lm_head.weight"] = (N_BPE, 64)
    for at, full in ((f"{prefix}layers.0.", False), (f"{prefix}layers.1.", True), ("mtp.layers.0.", True)):
        tensors |= {f"{at}{norm}.weight": (64,) for norm in ("input_layernorm", "post_attention_layernorm")}
        tensors |= gated_attention(at) if full else linear_attention(at, fused=fused)
        if not moe:
            tensors |= feed_forward(f"{at}mlp.", 64, 96)
            continue
        tensors |= {f"{at}mlp.gate.weight": (4, 64), f"{at}mlp.shared_expert_gate.weight": (1, 64)}
        tensors |= feed_forward(f"{at}mlp.shared_expert.", 64, 32)
        for expert in range(4):
            tensors |= feed_forward(f"{at}mlp.experts.{expert}.", 64, 32)
    norms = ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")
    return tensors | {f"mtp.{norm}.weight": (64,) for norm in norms} | {"mtp.fc.weight": (64, 128)}


EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
           "shared_expert_intermediate_size": 32}  # fmt: skip


def qwen3_next() -> Case:
    members = config("Qwen3NextForCausalLM", "qwen3_next", N_BPE, partial_rotary_factor=0.25, decoder_sparse_step=1,
                     **LINEAR, **EXPERTS)  # fmt: skip
    return Case("Qwen3-Next-tiny", members, next_tensors("model.", fused=True, moe=True), byte_pair_tokenizer(QWEN2),
                pre="qwen2")  # fmt: skip


def qwen35(*, moe: bool) -> Case:
    kind = "Qwen3_5MoeForConditionalGeneration" if moe else "Qwen3_5ForConditionalGeneration"
    rope = {"rope_type": "default", "rope_theta": 10000000.0, "partial_rotary_factor": 0.25}
    if not moe:
        rope |= {"mrope_section": [1, 1, 0]}
    text = config(kind, "qwen3_5_text", N_BPE, rope_parameters=rope, mtp_num_hidden_layers=1, **LINEAR,
                  **(EXPERTS if moe else {}))  # fmt: skip
    del text["rope_theta"]
    members = {"architectures": [kind], "model_type": "qwen3_5", "text_config": text}
    tensors = next_tensors("model.language_model.", fused=False, moe=moe) | {"model.visual.pos_embed.weight": (4, 64)}
    return Case(f"Qwen3.5-tiny{'-moe' * moe}", members, tensors, byte_pair_tokenizer(QWEN35), pre="qwen35")


def fallback() -> Case:
    members = config("LlamaForCausalLM", "llama", 270)
    return Case("llama-without-spm", members, decoder(270), fallback_tokenizer)


def gemma3n() -> Case:
    tensors = decoder(N_SPM - 8, prefix="model.language_model.", tied=True, norms=GEMMA_NORMS, qk_norms=16)
    at = "model.language_model."
    tensors |= {f"{at}embed_tokens_per_layer.weight": (N_SPM - 8, 16), f"{at}per_layer_projection_norm.weight": (8,)}
    tensors[f"{at}per_layer_model_projection.weight"] = (16, 64)
    for number in range(3):
        tensors |= {
            f"{at}{name}.{number}.weight": (64, 64) for name in ("altup_projections", "altup_unembed_projections")
        }
    for block in range(2):
        at = f"model.language_model.layers.{block}."
        tensors |= {
            f"{at}altup.correct_output_scale": (64,), f"{at}altup.correction_coefs.weight": (4, 4),
            f"{at}altup.modality_router.weight": (4, 64), f"{at}altup.prediction_coefs.weight": (16, 4),
            f"{at}altup.router_norm.weight": (64,), f"{at}laurel.linear_left.weight": (8, 64),
            f"{at}laurel.linear_right.weight": (64, 8), f"{at}laurel.post_laurel_norm.weight": (64,),
            f"{at}per_layer_input_gate.weight": (8, 64), f"{at}per_layer_projection.weight": (64, 8),
            f"{at}post_per_layer_input_norm.weight": (64,),
        }  # fmt: skip
    text = config("", "gemma3n_text", N_SPM, head_dim=16, sliding_window=32, rope_theta=1000000.0, altup_num_inputs=4,
                  rope_local_base_freq=10000.0, intermediate_size=[96, 96], vocab_size_per_layer_input=N_SPM - 8,
                  hidden_size_per_layer_input=8, altup_active_idx=0, num_kv_shared_layers=1, laurel_rank=8,
                  activation_sparsity_pattern=[0.95, 0.0], final_logit_softcapping=30.0,
                  layer_types=["sliding_attention", "full_attention"])  # fmt: skip
    del text["architectures"]
    members = {"architectures": ["Gemma3nForConditionalGeneration"], "model_type": "gemma3n", "text_config": text}
    return Case("gemma-3n-tiny", members, tensors, sentencepiece_tokenizer())


def gemma4() -> Case:
    tensors: dict[str, Shape] = {}
    for name, shape in decoder(270, prefix="model.language_model.", tied=True, norms=GEMMA_NORMS, mlp=True).items():
        tensors[name] = shape
    for block, head in ((0, 16), (1, 32)):
        at = f"model.language_model.layers.{block}."
        tensors |= {f"{at}self_attn.q_proj.weight": (4 * head, 64), f"{at}self_attn.o_proj.weight": (64, 4 * head)}
        tensors |= {f"{at}self_attn.{letter}_proj.weight": (2 * head, 64) for letter in "kv"}
        tensors |= {f"{at}self_attn.{letter}_norm.weight": (head,) for letter in "qk"}
        tensors[f"{at}layer_scalar"] = (1,)
    rope = {"full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0, "partial_rotary_factor": 0.25},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
    text = config("", "gemma4_text", 270, head_dim=16, global_head_dim=32, sliding_window=32, rope_parameters=rope,
                  num_kv_shared_layers=0, use_double_wide_mlp=False, final_logit_softcapping=30.0,
                  moe_intermediate_size=None, hidden_size_per_layer_input=0, num_global_key_value_heads=2,
                  layer_types=["sliding_attention", "full_attention"])  # fmt: skip
    del text["architectures"], text["rope_theta"]
    members = {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "text_config": text}
    return Case("gemma-4-tiny", members, tensors, fallback_tokenizer)


def laguna() -> Case:
    tensors = decoder(N_BPE, qk_norms=16, mlp=False)
    for block in range(2):
        at = f"model.layers.{block}."
        tensors[f"{at}self_attn.g_proj.weight"] = (4, 64)
        if block == 0:
            tensors |= feed_forward(f"{at}mlp.", 64, 96)
            continue
        tensors |= {f"{at}mlp.gate.weight": (4, 64), f"{at}mlp.experts.e_score_correction_bias:F32": (4,)}
        tensors |= feed_forward(f"{at}mlp.shared_expert.", 64, 32)
        for expert in range(4):
            tensors |= feed_forward(f"{at}mlp.experts.{expert}.", 64, 32)
    rope = {"full_attention": {"rope_type": "default", "rope_theta": 500000.0, "partial_rotary_factor": 0.5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
    members = config("LagunaForCausalLM", "laguna", N_BPE, head_dim=16, rope_parameters=rope, gating=True,
                     num_attention_heads_per_layer=[4, 4], sliding_window=32, mlp_layer_types=["dense", "sparse"],
                     layer_types=["full_attention", "sliding_attention"], moe_routed_scaling_factor=2.5,
                     bos_token_id=263, eos_token_id=[263, 265], **EXPERTS)  # fmt: skip
    del members["rope_theta"]
    tokenizer = byte_pair_tokenizer(specials=("<|begin|>", "<|end|>", "</assistant>"))
    return Case("Laguna-tiny", members, tensors, tokenizer, pre="llama-bpe", files={"chat_template.jinja": "{{ 3 }}"})


def glm_ocr() -> Case:
    norms = ("input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm")
    tensors = decoder(N_BPE, prefix="model.language_model.", norms=norms, n_layer=3, mlp=False)
    for block in range(3):
        at = f"model.language_model.layers.{block}."
        tensors |= {f"{at}mlp.gate_up_proj.weight": (192, 64), f"{at}mlp.down_proj.weight": (64, 96)}
    at = "model.language_model.layers.2."
    tensors |= {f"{at}eh_proj.weight": (64, 128), f"{at}enorm.weight": (64,), f"{at}hnorm.weight": (64,)}
    tensors |= {f"{at}shared_head.norm.weight": (64,)} | glm_tower()
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 2, 1]}
    text = config("", "glm_ocr_text", N_BPE, head_dim=16, rope_parameters=rope, num_nextn_predict_layers=1)
    del text["architectures"], text["rope_theta"]
    members = {"architectures": ["GlmOcrForConditionalGeneration"], "model_type": "glm_ocr", "text_config": text,
               "vision_config": {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
                                 "patch_size": 4, "image_size": 32, "hidden_act": "silu",
                                 "rms_norm_eps": 1e-5}}  # fmt: skip
    tokenizer = byte_pair_tokenizer(specials=("<|endoftext|>", "<|user|>"), bos_token=None, eos_token=None)
    return Case("GLM-OCR-tiny", members, tensors, tokenizer, pre="llama-bpe", sees=True, files=PICTURES)


def glm_tower() -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "model.visual.patch_embed.proj.weight": (32, 3, 2, 4, 4), "model.visual.patch_embed.proj.bias": (32,),
        "model.visual.post_layernorm.weight": (32,), "model.visual.downsample.weight": (64, 32, 2, 2),
        "model.visual.downsample.bias": (64,), "model.visual.merger.proj.weight": (64, 64),
        "model.visual.merger.post_projection_norm.weight": (64,),
        "model.visual.merger.post_projection_norm.bias": (64,), "model.visual.merger.gate_proj.weight": (48, 64),
        "model.visual.merger.up_proj.weight": (48, 64), "model.visual.merger.down_proj.weight": (64, 48),
    }  # fmt: skip
    for block in range(2):
        at = f"model.visual.blocks.{block}."
        tensors |= {f"{at}{name}.weight": (32,) for name in ("norm1", "norm2")}
        tensors |= {f"{at}attn.{letter}_norm.weight": (16,) for letter in "qk"}
        tensors |= {f"{at}attn.qkv.weight": (96, 32), f"{at}attn.proj.weight": (32, 32)}
        tensors |= feed_forward(f"{at}mlp.", 32, 48)
    return tensors


def nemotron_h(*, moe: bool) -> Case:
    pattern = "M*E" if moe else "M*-"
    tensors: dict[str, Shape] = {
        "backbone.embeddings.weight": (N_BPE - 3, 64), "backbone.norm_f.weight": (64,),
        "lm_head.weight": (N_BPE - 3, 64),
    }  # fmt: skip
    tensors |= {f"backbone.layers.{block}.norm.weight": (64,) for block in range(3)}
    at = "backbone.layers.0.mixer."
    tensors |= {
        f"{at}A_log": (4,), f"{at}D": (4,), f"{at}dt_bias": (4,), f"{at}conv1d.weight": (128, 1, 4),
        f"{at}conv1d.bias": (128,), f"{at}in_proj.weight": (196, 64), f"{at}norm.weight": (64,),
        f"{at}out_proj.weight": (64, 64),
    }  # fmt: skip
    at = "backbone.layers.1.mixer."
    tensors |= {f"{at}q_proj.weight": (96, 64), f"{at}k_proj.weight": (48, 64), f"{at}v_proj.weight": (48, 64),
                f"{at}o_proj.weight": (64, 96)}  # fmt: skip
    at = "backbone.layers.2.mixer."
    if moe:
        tensors |= {f"{at}gate.weight": (4, 64), f"{at}gate.e_score_correction_bias:F32": (4,)}
        tensors |= {f"{at}shared_experts.up_proj.weight": (48, 64), f"{at}shared_experts.down_proj.weight": (64, 48)}
        for expert in range(4):
            tensors |= {f"{at}experts.{expert}.up_proj.weight": (32, 64)}
            tensors |= {f"{at}experts.{expert}.down_proj.weight": (64, 32)}
    else:
        tensors |= {f"{at}up_proj.weight": (96, 64), f"{at}down_proj.weight": (64, 96)}
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1,
               "moe_shared_expert_intermediate_size": 48, "norm_topk_prob": True, "routed_scaling_factor": 2.5,
               "n_group": 1, "topk_group": 1}  # fmt: skip
    members = config("NemotronHForCausalLM", "nemotron_h", N_BPE - 3, num_hidden_layers=3, head_dim=24, n_groups=2,
                     hybrid_override_pattern=pattern, mamba_head_dim=16, mamba_num_heads=4, ssm_state_size=16,
                     conv_kernel=4, layer_norm_epsilon=1e-5, expand=2, hidden_act="silu",
                     attn_layer_indices=[1], **(experts if moe else {}))  # fmt: skip
    return Case(f"Nemotron-H-tiny{'-moe' * moe}", members, tensors, byte_pair_tokenizer(), pre="llama-bpe")


MORE_CASES = {
    case.name: case
    for case in (
        nomic_bert(), nomic_bert_moe(), gpt_oss(), deepseek3(), glm4_moe_lite(), lfm2(), lfm2_moe(), llama4(),
        mistral3(), ministral3(), embedding_gemma(), gemma3_that_sees(), qwen25_vl(),
        qwen3_vl(), qwen3_vl_moe(), qwen3_next(), qwen35(moe=False),
        qwen35(moe=True), fallback(), gemma3n(), gemma4(), laguna(), glm_ocr(),
        nemotron_h(moe=False), nemotron_h(moe=True),
    )
}  # fmt: skip
