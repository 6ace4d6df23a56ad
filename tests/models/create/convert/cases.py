"""One tiny model for each architecture, some with what their kin have besides."""

from __future__ import annotations

from typing import Any

from tests.models.create.convert.checkpoints import (
    N_SENTENCE_PIECES,
    QWEN2,
    Case,
    Shape,
    byte_pair_tokenizer,
    sentencepiece_tokenizer,
    word_tokenizer,
)

N_BPE = 272
"""Tokens of the byte-pair tokenizer, and a few that stand for nothing."""

N_SPM = N_SENTENCE_PIECES + 11


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


def config(architecture: str, model_type: str, n_vocab: int, **more: Any) -> dict[str, Any]:
    usual = {
        "architectures": [architecture], "model_type": model_type, "vocab_size": n_vocab, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
    }  # fmt: skip
    return usual | more


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


def bert() -> Case:
    tensors: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (20, 64),
        "embeddings.position_embeddings.weight": (32, 64),
        "embeddings.token_type_embeddings.weight": (2, 64),
        "embeddings.position_ids:I64": (1, 32),
        "embeddings.LayerNorm.weight": (64,),
        "embeddings.LayerNorm.bias": (64,),
        "pooler.dense.weight": (64, 64),
        "pooler.dense.bias": (64,),
    }
    for block in range(2):
        at = f"encoder.layer.{block}."
        for name, shape in (
            ("attention.self.query", (64, 64)), ("attention.self.key", (64, 64)), ("attention.self.value", (64, 64)),
            ("attention.output.dense", (64, 64)), ("intermediate.dense", (96, 64)), ("output.dense", (64, 96)),
        ):  # fmt: skip
            tensors |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors |= {f"{at}{name}.weight": (64,), f"{at}{name}.bias": (64,)}
    return Case(
        "tiny-bert",
        {
            "architectures": ["BertModel"], "model_type": "bert", "vocab_size": 20, "hidden_size": 64,
            "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32,
            "layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 0,
        },
        tensors,
        word_tokenizer,
        dtype="F32",
        files={
            "modules.json": [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}],
            "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
        },
    )  # fmt: skip


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


def gemma() -> Case:
    return Case(
        "tiny-gemma",
        config("GemmaForCausalLM", "gemma", N_SPM, head_dim=16, bos_token_id=2, eos_token_id=1, pad_token_id=0),
        decoder(N_SPM),
        sentencepiece_tokenizer(),
    )


GEMMA_NORMS = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip


def gemma2() -> Case:
    return Case(
        "tiny-gemma-2",
        config("Gemma2ForCausalLM", "gemma2", N_SPM, head_dim=16, attn_logit_softcapping=50.0,
               final_logit_softcapping=30.0, sliding_window=128, query_pre_attn_scalar=16),
        decoder(N_SPM, tied=True, norms=GEMMA_NORMS),
        sentencepiece_tokenizer(),
        dtype="F16",
    )  # fmt: skip


def gemma3() -> Case:
    return Case(
        "tiny-gemma-3-it",
        config("Gemma3ForCausalLM", "gemma3_text", N_SPM - 8, head_dim=16, sliding_window=64, rope_theta=1000000.0,
               rope_local_base_freq=10000.0, sliding_window_pattern=6, eos_token_id=[1, 2]),
        decoder(N_SPM, tied=True, norms=GEMMA_NORMS, qk_norms=16),
        sentencepiece_tokenizer(),
    )  # fmt: skip


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


def bare_gemma3() -> Case:
    left_out = ("rope_theta", "rms_norm_eps", "max_position_embeddings", "num_key_value_heads")
    members = config("Gemma3ForCausalLM", "gemma3_text", N_SPM, head_dim=16, sliding_window=32)
    return Case(
        "bare-gemma-3",
        {key: value for key, value in members.items() if key not in left_out},
        decoder(N_SPM, n_kv=4, tied=True, norms=GEMMA_NORMS, qk_norms=16),
        sentencepiece_tokenizer(),
    )


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


CASES = {
    case.name: case
    for case in (
        llama(), llama3(), mixtral(), mistral(), bert(), qwen2(), qwen3(), qwen3moe(), gemma(), gemma2(), gemma3(),
        phi3(), command_r(), olmo2(), olmo3(), bare_llama(), bare_gemma3(), fp8(),
    )
}  # fmt: skip

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
