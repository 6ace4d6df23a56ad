"""Tiny models of Nemotron, two of which see and one hears."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import N_BPE, both, config
from tests.models.create.convert.tokenizers import byte_pair_tokenizer


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


CASES = [nemotron_h(moe=False), nemotron_h(moe=True), nemotron_vl(), nemotron_omni()]
