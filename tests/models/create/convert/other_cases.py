"""Tiny models of families with one member."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case
from tests.models.create.convert.decoder import EXPERTS, N_BPE, N_SPM, config, decoder, feed_forward
from tests.models.create.convert.tokenizers import byte_pair_tokenizer, sentencepiece_tokenizer


def phi3() -> Case:
    tensors = decoder(N_SPM, mlp=False)
    tensors = {
        name: shape
        for name, shape in tensors.items()
        if not name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight"))
    }
    for block in range(2):
        at = f"model.layers.{block}."
        tensors |= {
            f"{at}self_attn.qkv_proj.weight": (128, 64),
            f"{at}mlp.gate_up_proj.weight": (192, 64),
            f"{at}mlp.down_proj.weight": (64, 96),
        }
    rope = {"type": "longrope", "long_factor": [1.0 + i / 8 for i in range(8)], "short_factor": [1.0] * 8}
    return Case(
        "Phi-3-tiny-128k-instruct",
        config("Phi3ForCausalLM", "phi3", N_SPM, original_max_position_embeddings=64, rope_scaling=rope,
               sliding_window=100, pad_token_id=2, bos_token_id=1, eos_token_id=2),
        tensors,
        sentencepiece_tokenizer(
            added_tokens_decoder={"301": {"content": "<|tool|>", "special": True}, "302": {"content": "<|user|>"}}
        ),
    )  # fmt: skip


def command_r() -> Case:
    tensors = decoder(N_BPE, tied=True, norms=("input_layernorm",))
    return Case(
        "c4ai-tiny-command-r",
        config("CohereForCausalLM", "cohere", N_BPE, logit_scale=0.0625, layer_norm_eps=1e-5, model_max_length=1024),
        tensors,
        byte_pair_tokenizer(),
        pre="llama-bpe",
        dtype="F16",
    )


def olmo2() -> Case:
    tensors = decoder(N_BPE, norms=("post_attention_layernorm", "post_feedforward_layernorm"))
    for block in range(2):
        at = f"model.layers.{block}.self_attn."
        tensors |= {f"{at}q_norm.weight": (64,), f"{at}k_norm.weight": (32,)}
    return Case(
        "OLMo-2-tiny", config("Olmo2ForCausalLM", "olmo2", N_BPE), tensors, byte_pair_tokenizer(), pre="llama-bpe"
    )


def olmo3() -> Case:
    case = olmo2()
    more = {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}
    return Case(
        "Olmo-3-tiny", config("Olmo3ForCausalLM", "olmo3", N_BPE, **more), case.tensors, case.tokenizer, pre="llama-bpe"
    )


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


CASES = [phi3(), command_r(), olmo2(), olmo3(), gpt_oss(), laguna()]
