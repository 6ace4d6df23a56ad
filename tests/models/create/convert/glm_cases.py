"""Tiny models of GLM 4 and GLM-OCR."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import N_BPE, PICTURES, config, decoder, feed_forward
from tests.models.create.convert.tokenizers import byte_pair_tokenizer


def glm4() -> Case:
    norms = ("input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm")
    tensors = decoder(N_BPE, norms=norms, mlp=False)
    for block in range(2):
        at = f"model.layers.{block}."
        tensors |= {f"{at}mlp.gate_up_proj.weight": (192, 64), f"{at}mlp.down_proj.weight": (64, 96)}
    members = config("Glm4ForCausalLM", "glm4", N_BPE, head_dim=16, partial_rotary_factor=0.5, attention_bias=False,
                     eos_token_id=[263, 264], pad_token_id=263)  # fmt: skip
    tokenizer = byte_pair_tokenizer(specials=("<|endoftext|>", "<|user|>"), bos_token=None, eos_token="<|endoftext|>")
    return Case("GLM-4-tiny-0414", members, tensors, tokenizer, pre="llama-bpe")


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


CASES = [glm4(), glm_ocr()]
