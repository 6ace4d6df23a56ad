"""Tiny models of Qwen 2 and 3 that read and write."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import EXPERTS, N_BPE, config, decoder, feed_forward
from tests.models.create.convert.tokenizers import QWEN2, QWEN35, byte_pair_tokenizer


def qwen2() -> Case:
    return Case(
        "Qwen2-tiny",
        config("Qwen2ForCausalLM", "qwen2", N_BPE, tie_word_embeddings=True, eos_token_id=264, sliding_window=128),
        decoder(N_BPE, biases=True, tied=True),
        byte_pair_tokenizer(QWEN2, ("<|start|>", "<|stop|>"), chat_template=[
            {"name": "default", "template": "{{ 1 }}"}, {"name": "tool-use", "template": "{{ 2 }}"},
        ]),
        pre="qwen2",
    )  # fmt: skip


def qwen2_moe() -> Case:
    tensors = decoder(N_BPE, biases=True, mlp=False)
    for block in range(2):
        at = f"model.layers.{block}.mlp."
        tensors |= {f"{at}gate.weight": (4, 64), f"{at}shared_expert_gate.weight": (1, 64)}
        tensors |= feed_forward(f"{at}shared_expert.", 64, 48)
        for expert in range(4):
            tensors |= feed_forward(f"{at}experts.{expert}.", 64, 32)
    return Case(
        "Qwen2-tiny-A1M",
        config("Qwen2MoeForCausalLM", "qwen2_moe", N_BPE, **EXPERTS | {"shared_expert_intermediate_size": 48}),
        tensors,
        byte_pair_tokenizer(QWEN2),
        pre="qwen2",
    )


def qwen3() -> Case:
    return Case(
        "Qwen3-tiny",
        config("Qwen3ForCausalLM", "qwen3", N_BPE, head_dim=32, tie_word_embeddings=False),
        decoder(N_BPE, head=32, qk_norms=32),
        byte_pair_tokenizer(QWEN2),
        pre="qwen2",
    )


def qwen3moe() -> Case:
    tensors = decoder(N_BPE, head=32, qk_norms=32, mlp=False)
    for block in range(2):
        at = f"model.layers.{block}.mlp."
        tensors[f"{at}gate.weight"] = (4, 64)
        for expert in range(4):
            tensors |= feed_forward(f"{at}experts.{expert}.", 64, 32)
    return Case(
        "Qwen3-tiny-moe",
        config("Qwen3MoeForCausalLM", "qwen3_moe", N_BPE, head_dim=32, num_experts=4, num_experts_per_tok=2,
               moe_intermediate_size=32, norm_topk_prob=True),
        tensors,
        byte_pair_tokenizer(QWEN2),
        pre="qwen2",
        n_shards=3,
    )  # fmt: skip


def fp8() -> Case:
    """Weights of eight bits with scales for blocks of 48 by 48, the last of them not full."""
    tensors: dict[str, Shape] = {}
    for name, shape in decoder(N_BPE, qk_norms=16).items():
        if name.endswith("proj.weight"):
            tensors |= {f"{name}:F8_E4M3": shape, f"{name}_scale_inv:F32": (-(-shape[0] // 48), -(-shape[1] // 48))}
        else:
            tensors[name] = shape
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [48, 48]}
    return Case(
        "Qwen3-tiny-FP8",
        config("Qwen3ForCausalLM", "qwen3", N_BPE, head_dim=16, quantization_config=quantization),
        tensors,
        byte_pair_tokenizer(QWEN2),
        pre="qwen2",
    )


def fp8_by_rows() -> Case:
    """As compressed-tensors stores them."""
    tensors: dict[str, Shape] = {}
    for name, shape in decoder(N_BPE, qk_norms=16).items():
        if name.endswith("proj.weight"):
            tensors |= {f"{name}:F8_E4M3": shape, f"{name}_scale": (shape[0], 1)}
        else:
            tensors[name] = shape
    weights = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "block_structure": None}
    quantization = {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
                    "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}  # fmt: skip
    members = config("Qwen3ForCausalLM", "qwen3", N_BPE, head_dim=16, quantization_config=quantization)
    return Case("Qwen3-tiny-FP8-dynamic", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2")


def fp8_by_tensors() -> Case:
    """As ModelOpt stores them."""
    tensors: dict[str, Shape] = {}
    for name, shape in decoder(N_BPE, qk_norms=16).items():
        if name.endswith("proj.weight"):
            stem = name.removesuffix(".weight")
            tensors |= {f"{name}:F8_E4M3": shape, f"{name}_scale:F32": (), f"{stem}.input_scale:F32": ()}
        else:
            tensors[name] = shape
    tensors |= {f"model.layers.0.self_attn.{letter}_proj.{letter}_scale:F32": () for letter in "kv"}
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    members = config("Qwen3ForCausalLM", "qwen3", N_BPE, head_dim=16, quantization_config=quantization)
    return Case("Qwen3-tiny-FP8-modelopt", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2")


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


CASES = [
    qwen2(),
    qwen2_moe(),
    qwen3(),
    qwen3moe(),
    fp8(),
    fp8_by_rows(),
    fp8_by_tensors(),
    qwen3_next(),
    qwen35(moe=False),
    qwen35(moe=True),
]
