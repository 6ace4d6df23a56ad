"""Tiny models that see or hear with towers of other kinds."""

from __future__ import annotations

from typing import Any

from tests.models.create.convert.cases import N_BPE, config, feed_forward
from tests.models.create.convert.checkpoints import Case, Shape, byte_pair_tokenizer
from tests.models.create.convert.more_cases import LFM2, PICTURES, gemma3n, gemma4, lfm2_tensors, nemotron_h


def both(name: str, n: int, shape: Shape) -> dict[str, Shape]:
    """A matrix and what is added to its products."""
    return {f"{name}.weight": shape, f"{name}.bias": (n,)}


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


def nemotron_vl() -> Case:
    """Its pictures are of one size, its positions of another."""
    inner = nemotron_h(moe=False)
    tensors = {f"language_model.{name}": shape for name, shape in inner.tensors.items()}
    members = {
        "architectures": ["NemotronH_Nano_VL_V2"], "model_type": "NemotronH_Nano_VL_V2", "force_image_size": 32,
        "downsample_ratio": 0.5, "llm_config": inner.config,
        "vision_config": {"patch_size": 4, "architectures": ["RADIOModel"], "model_type": ""},
    }  # fmt: skip
    pictures = {"preprocessor_config.json": {"image_size": 32}}
    return Case("Nemotron-Nano-tiny-VL", members, tensors | radio_tower(), inner.tokenizer, pre=inner.pre, sees=True,
                files=pictures)  # fmt: skip


def radio_tower() -> dict[str, Shape]:
    at = "vision_model.radio_model.model."
    tensors: dict[str, Shape] = {
        f"{at}patch_generator.cls_token.token": (2, 1280), f"{at}patch_generator.pos_embed": (1, 400, 1280),
        f"{at}patch_generator.embedder.weight": (1280, 48), f"{at}patch_generator.video_embedder.weight": (1280, 96),
        "vision_model.radio_model.input_conditioner.norm_mean": (3, 1, 1), "mlp1.0.weight": (64,),
        "mlp1.1.weight": (48, 64), "mlp1.3.weight": (64, 48),
    }  # fmt: skip
    for block in range(2):
        here = f"{at}blocks.{block}."
        tensors |= both(f"{here}norm1", 32, (32,)) | both(f"{here}norm2", 32, (32,))
        tensors |= both(f"{here}attn.qkv", 96, (96, 32)) | both(f"{here}attn.proj", 32, (32, 32))
        tensors |= both(f"{here}mlp.fc1", 48, (48, 32)) | both(f"{here}mlp.fc2", 32, (32, 48))
    return tensors


def nemotron_omni() -> Case:
    """It sees like the smaller one, and hears."""
    small, inner = nemotron_vl(), nemotron_h(moe=True)
    tensors = {f"language_model.{name}": shape for name, shape in inner.tensors.items()}
    sound = {"model_type": "parakeet", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
             "num_attention_heads": 2, "conv_kernel_size": 5, "subsampling_factor": 8, "num_mel_bins": 16,
             "subsampling_conv_channels": 4, "convolution_bias": False}  # fmt: skip
    members = small.config | {
        "architectures": ["NemotronH_Nano_Omni_Reasoning_V3"], "model_type": "NemotronH_Nano_Omni_Reasoning_V3",
        "llm_config": inner.config, "sound_config": sound,
    }  # fmt: skip
    return Case("Nemotron-Nano-tiny-Omni", members, tensors | radio_tower() | parakeet_tower(), inner.tokenizer,
                pre=inner.pre, sees=True, files=small.files)  # fmt: skip


def parakeet_tower() -> dict[str, Shape]:
    at = "sound_encoder.encoder."
    tensors: dict[str, Shape] = {
        f"{at}feature_extractor.featurizer.fb:F32": (1, 16, 257),
        f"{at}feature_extractor.featurizer.window:F32": (400,),
        "sound_projection.norm.weight": (32,), "sound_projection.linear1.weight": (48, 32),
        "sound_projection.linear2.weight": (64, 48),
    } | both(f"{at}subsampling.linear", 32, (32, 8))  # fmt: skip
    for number, shape in (
        (0, (4, 1, 3, 3)),
        (2, (4, 1, 3, 3)),
        (3, (4, 4, 1, 1)),
        (5, (4, 1, 3, 3)),
        (6, (4, 4, 1, 1)),
    ):
        tensors |= both(f"{at}subsampling.layers.{number}", 4, shape)
    for block in range(2):
        here = f"{at}layers.{block}."
        for norm in ("norm_feed_forward1", "norm_self_att", "norm_conv", "norm_feed_forward2", "norm_out", "conv.norm"):
            tensors |= both(f"{here}{norm}", 32, (32,))
        for part in ("feed_forward1", "feed_forward2"):
            tensors |= {f"{here}{part}.linear1.weight": (48, 32), f"{here}{part}.linear2.weight": (32, 48)}
        for name in ("q_proj", "k_proj", "v_proj", "o_proj", "relative_k_proj"):
            tensors[f"{here}self_attn.{name}.weight"] = (32, 32)
        tensors |= {f"{here}self_attn.bias_{letter}": (2, 16) for letter in "uv"}
        tensors |= {
            f"{here}conv.pointwise_conv1.weight": (64, 32, 1), f"{here}conv.pointwise_conv2.weight": (32, 32, 1),
            f"{here}conv.depthwise_conv.weight": (32, 1, 5), f"{here}conv.norm.running_mean": (32,),
            f"{here}conv.norm.running_var": (32,), f"{here}conv.norm.num_batches_tracked:I64": (),
        }  # fmt: skip
        tensors |= both(f"{here}conv.pointwise_conv1", 64, (64, 32, 1)) if block else {}
    return tensors


SEEING_CASES = {
    case.name: case
    for case in (lfm2_vl(), gemma4_that_sees(), deepseek_ocr(), nemotron_vl(), gemma3n_that_sees(),
                 nemotron_omni())
}  # fmt: skip
