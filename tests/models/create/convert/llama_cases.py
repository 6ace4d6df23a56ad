"""Tiny models of Llama, Mistral and their kin."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import N_BPE, N_SPM, PICTURES, config, decoder, feed_forward
from tests.models.create.convert.tokenizers import (
    TEKKEN,
    byte_pair_tokenizer,
    fallback_tokenizer,
    sentencepiece_tokenizer,
)


def llama() -> Case:
    return Case(
        "tiny-llama-2k",
        config("LlamaForCausalLM", "llama", N_SPM, bos_token_id=1, eos_token_id=2),
        decoder(N_SPM),
        sentencepiece_tokenizer(
            added_tokens_decoder={"301": {"content": "<|tool|>"}, "302": {"content": "\u2581a\u2581b"}},
            chat_template="{{ messages }}",
        ),
        n_shards=2,
        files={
            "added_tokens.json": {"<extra>": 303, "<beyond>": 99999},
            "generation_config.json": {"temperature": 0.6, "top_p": 0.9, "top_k": 20},
        },
    )


def llama3() -> Case:
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}  # fmt: skip
    return Case(
        "tiny-llama-3-instruct",
        config(
            "LlamaForCausalLM", "llama", N_BPE, rope_scaling=rope, rope_theta=500000.0, head_dim=16, eos_token_id=264
        ),
        decoder(N_BPE, tied=True),
        byte_pair_tokenizer(template=True),
        pre="llama-bpe",
        dtype="F16",
    )


def mixtral() -> Case:
    tensors = decoder(N_SPM, mlp=False)
    for block in range(2):
        at = f"model.layers.{block}.block_sparse_moe."
        tensors[f"{at}gate.weight"] = (4, 64)
        for expert in range(4):
            for part, shape in (("w1", (96, 64)), ("w2", (64, 96)), ("w3", (96, 64))):
                tensors[f"{at}experts.{expert}.{part}.weight"] = shape
    return Case(
        "Mixtral-4x1M-v0.1",
        config("MixtralForCausalLM", "mixtral", N_SPM, num_local_experts=4, num_experts_per_tok=2),
        tensors,
        sentencepiece_tokenizer(),
        dtype="F32",
    )


def mistral() -> Case:
    return Case(
        "tiny-mistral",
        config("MistralForCausalLM", "mistral", N_SPM, sliding_window=256, head_dim=16),
        decoder(N_SPM),
        sentencepiece_tokenizer(),
    )


def bare_llama() -> Case:
    """What may be left out is."""
    left_out = ("rope_theta", "rms_norm_eps", "max_position_embeddings", "num_key_value_heads")
    members = config("LlamaForCausalLM", "llama", N_BPE)
    return Case(
        "bare-llama",
        {key: value for key, value in members.items() if key not in left_out},
        decoder(N_BPE, n_kv=4),
        byte_pair_tokenizer(),
        pre="llama-bpe",
    )


def fallback() -> Case:
    members = config("LlamaForCausalLM", "llama", 270)
    return Case("llama-without-spm", members, decoder(270), fallback_tokenizer)


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


def ministral3() -> Case:
    rope = {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0, "original_max_position_embeddings": 256,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1}  # fmt: skip
    members = config("Ministral3ForCausalLM", "ministral3", N_BPE, head_dim=16, rope_parameters=rope)
    del members["rope_theta"]
    return Case("Ministral-3-tiny", members, decoder(N_BPE), byte_pair_tokenizer(TEKKEN), pre="tekken")


CASES = [
    llama(),
    llama3(),
    mixtral(),
    mistral(),
    bare_llama(),
    fallback(),
    llama4(),
    mistral3(),
    ministral3(),
]
