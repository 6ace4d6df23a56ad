"""Tiny models of Gemma 3n and 4, which see and hear."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import GEMMA_NORMS, N_SPM, PICTURES, both, config, decoder
from tests.models.create.convert.tokenizers import fallback_tokenizer, sentencepiece_tokenizer


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


def gemma3n_that_sees() -> Case:
    """And hears."""
    case = gemma3n()
    vision = {"model_type": "gemma3n_vision", "architecture": "mobilenetv5_300m_enc", "hidden_size": 64,
              "vocab_offset": 300, "vocab_size": 8}  # fmt: skip
    audio = {"model_type": "gemma3n_audio", "hidden_size": 32, "conf_num_hidden_layers": 2, "input_feat_size": 32,
             "conf_num_attention_heads": 2, "vocab_offset": 308, "vocab_size": 4}  # fmt: skip
    members = case.config | {"vision_config": vision, "audio_config": audio}
    pictures = {"preprocessor_config.json": {"size": {"height": 768, "width": 768}, "image_seq_length": 256}}
    tensors = case.tensors | gemma3n_eyes() | gemma3n_ears()
    return Case("gemma-3n-tiny-E1M-it", members, tensors, case.tokenizer, sees=True, files=pictures)


def embedder(at: str, n_tokens: int, n_embd: int) -> dict[str, Shape]:
    return {f"{at}embedding.weight": (n_tokens, n_embd), f"{at}hard_embedding_norm.weight": (n_embd,),
            f"{at}soft_embedding_norm.weight": (n_embd,), f"{at}embedding_projection.weight": (64, n_embd)}  # fmt: skip


def gemma3n_eyes() -> dict[str, Shape]:
    at = "model.vision_tower.timm_model."
    tensors: dict[str, Shape] = {
        f"{at}conv_stem.conv.weight": (8, 3, 3, 3), f"{at}conv_stem.conv.bias": (8,),
        f"{at}conv_stem.bn.weight": (8,), f"{at}msfa.ffn.pw_exp.conv.weight": (32, 24, 1, 1),
        f"{at}msfa.ffn.pw_exp.bn.weight": (32,), f"{at}msfa.ffn.pw_proj.conv.weight": (64, 32, 1, 1),
        f"{at}msfa.ffn.pw_proj.bn.weight": (64,), f"{at}msfa.norm.weight": (64,),
        f"{at}blocks.0.0.conv_exp.weight": (16, 8, 3, 3), f"{at}blocks.0.0.bn1.weight": (16,),
        f"{at}blocks.0.0.conv_pwl.weight": (8, 16, 1, 1), f"{at}blocks.0.0.bn2.weight": (8,),
    }  # fmt: skip
    here = f"{at}blocks.1.0."
    tensors |= {f"{here}dw_start.conv.weight": (8, 1, 5, 5), f"{here}dw_start.bn.weight": (8,)}
    tensors |= {f"{here}pw_exp.conv.weight": (16, 8, 1, 1), f"{here}pw_exp.bn.weight": (16,)}
    tensors |= {f"{here}dw_mid.conv.weight": (16, 1, 3, 3), f"{here}dw_mid.bn.weight": (16,)}
    tensors |= {f"{here}pw_proj.conv.weight": (8, 16, 1, 1), f"{here}pw_proj.bn.weight": (8,)}
    tensors[f"{here}layer_scale.gamma"] = (8,)
    here = f"{at}blocks.1.12."
    tensors |= {f"{here}attn.{name}.proj.weight": (8, 8, 1, 1) for name in ("query", "key", "value", "output")}
    tensors |= {f"{here}attn.{name}.down_conv.weight": (8, 1, 3, 3) for name in ("key", "value")}
    tensors |= {f"{here}attn.{name}.norm.weight": (8,) for name in ("key", "value")}
    tensors |= {f"{here}norm.weight": (8,), f"{here}layer_scale.gamma": (8,)}
    return tensors | embedder("model.embed_vision.", 8, 64)


def gemma3n_ears() -> dict[str, Shape]:
    """Without `conv_0.norm` and `conv_1.norm`, which upstream's converter does not know."""
    at = "model.audio_tower."
    tensors = embedder("model.embed_audio.", 4, 32)
    for number, shape in enumerate(((8, 1, 3, 3), (4, 8, 3, 3))):
        tensors[f"{at}subsample_conv_projection.conv_{number}.conv.weight"] = shape
    tensors[f"{at}subsample_conv_projection.input_proj_linear.weight"] = (32, 32)
    for block in range(2):
        here = f"{at}conformer.{block}."
        for part in ("ffw_layer_start", "ffw_layer_end"):
            tensors |= {f"{here}{part}.{norm}.weight": (32,) for norm in ("pre_layer_norm", "post_layer_norm")}
            tensors |= {f"{here}{part}.ffw_layer_1.weight": (128, 32), f"{here}{part}.ffw_layer_2.weight": (32, 128)}
        tensors |= {f"{here}attention.attn.{letter}_proj.weight": (32, 32) for letter in "qkv"}
        tensors |= {f"{here}attention.{norm}.weight": (32,) for norm in ("pre_attn_norm", "post_norm")}
        tensors |= {
            f"{here}attention.attn.per_dim_scale": (16,), f"{here}attention.post.weight": (32, 32),
            f"{here}attention.attn.relative_position_embedding.pos_proj.weight": (32, 32),
            f"{here}lconv1d.pre_layer_norm.weight": (32,), f"{here}lconv1d.conv_norm.weight": (32,),
            f"{here}lconv1d.linear_start.weight": (64, 32), f"{here}lconv1d.linear_end.weight": (32, 32),
            f"{here}lconv1d.depthwise_conv1d.weight": (32, 1, 5), f"{here}norm.weight": (32,),
        }  # fmt: skip
    return tensors


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


def gemma4_that_sees() -> Case:
    """And hears."""
    case = gemma4()
    vision = {"model_type": "gemma4_vision", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
              "num_attention_heads": 2, "patch_size": 4, "rms_norm_eps": 1e-6}  # fmt: skip
    audio = {"model_type": "gemma4_audio", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    members = case.config | {"vision_config": vision, "audio_config": audio}
    tensors = case.tensors | gemma4_eyes() | gemma4_ears()
    return Case("gemma-4-tiny-E1M-it", members, tensors, case.tokenizer, sees=True, files=PICTURES)


def clipped(name: str, shape: Shape) -> dict[str, Shape]:
    """A matrix whose inputs and outputs stay between four numbers."""
    ends = ("input_min", "input_max", "output_min", "output_max")
    return {f"{name}.linear.weight": shape} | {f"{name}.{end}": () for end in ends}


def gemma4_eyes() -> dict[str, Shape]:
    at = "model.vision_tower."
    tensors: dict[str, Shape] = {
        f"{at}patch_embedder.input_proj.weight": (32, 48), f"{at}patch_embedder.position_embedding_table": (2, 16, 32),
        f"{at}std_bias": (32,), f"{at}std_scale": (32,), "model.embed_vision.embedding_projection.weight": (64, 32),
    }  # fmt: skip
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    for block in range(2):
        here = f"{at}encoder.layers.{block}."
        tensors |= {f"{here}{norm}.weight": (32,) for norm in norms}
        tensors |= {f"{here}self_attn.{letter}_norm.weight": (16,) for letter in "qk"}
        for letter in "qkvo":
            tensors |= clipped(f"{here}self_attn.{letter}_proj", (32, 32))
        tensors |= clipped(f"{here}mlp.gate_proj", (48, 32)) | clipped(f"{here}mlp.up_proj", (48, 32))
        tensors |= clipped(f"{here}mlp.down_proj", (32, 48)) | {f"{here}layer_scalar": (1,)}
    return tensors


def gemma4_ears() -> dict[str, Shape]:
    at = "model.audio_tower."
    tensors: dict[str, Shape] = {
        f"{at}subsample_conv_projection.layer0.conv.weight": (8, 1, 3, 3),
        f"{at}subsample_conv_projection.layer0.norm.weight": (8,),
        f"{at}subsample_conv_projection.layer1.conv.weight": (4, 8, 3, 3),
        f"{at}subsample_conv_projection.layer1.norm.weight": (4,),
        f"{at}subsample_conv_projection.input_proj_linear.weight": (32, 128),
        "model.embed_audio.embedding_projection.weight": (64, 48),
    } | both(f"{at}output_proj", 48, (48, 32))  # fmt: skip
    for block in range(2):
        here = f"{at}layers.{block}."
        tensors |= {f"{here}{norm}.weight": (32,) for norm in ("norm_pre_attn", "norm_post_attn", "norm_out")}
        for part in ("feed_forward1", "feed_forward2"):
            tensors |= {f"{here}{part}.{norm}.weight": (32,) for norm in ("pre_layer_norm", "post_layer_norm")}
            tensors |= clipped(f"{here}{part}.ffw_layer_1", (128, 32)) | clipped(f"{here}{part}.ffw_layer_2", (32, 128))
        for name in ("q_proj", "k_proj", "v_proj", "post"):
            tensors |= clipped(f"{here}self_attn.{name}", (32, 32))
        tensors |= {f"{here}self_attn.relative_k_proj.weight": (32, 32), f"{here}self_attn.per_dim_scale": (16,)}
        tensors |= clipped(f"{here}lconv1d.linear_start", (64, 32)) | clipped(f"{here}lconv1d.linear_end", (32, 32))
        tensors |= {f"{here}lconv1d.{norm}.weight": (32,) for norm in ("pre_layer_norm", "conv_norm")}
        tensors[f"{here}lconv1d.depthwise_conv1d.weight"] = (32, 1, 5)
    return tensors


CASES = [gemma3n(), gemma3n_that_sees(), gemma4(), gemma4_that_sees()]
