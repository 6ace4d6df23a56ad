"""Tiny models of Qwen that see."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import N_BPE, PICTURES, both, config, decoder
from tests.models.create.convert.tokenizers import QWEN2, byte_pair_tokenizer


def qwen2_vl() -> Case:
    rope = {"type": "mrope", "mrope_section": [2, 3, 3]}
    vision = {"model_type": "qwen2_vl", "depth": 4, "embed_dim": 32, "hidden_size": 64, "mlp_ratio": 4, "num_heads": 2,
              "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
    members = config("Qwen2VLForConditionalGeneration", "qwen2_vl", N_BPE, rope_scaling=rope, vision_config=vision)
    tensors = decoder(N_BPE, biases=True) | qwen2_tower()
    return Case("Qwen2-VL-tiny", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2", sees=True, files=PICTURES)


def qwen2_tower() -> dict[str, Shape]:
    tensors: dict[str, Shape] = {"visual.patch_embed.proj.weight": (32, 3, 2, 4, 4)}
    tensors |= both("visual.merger.ln_q", 32, (32,)) | both("visual.merger.mlp.0", 128, (128, 128))
    tensors |= both("visual.merger.mlp.2", 64, (64, 128))
    for block in range(4):
        at = f"visual.blocks.{block}."
        tensors |= both(f"{at}norm1", 32, (32,)) | both(f"{at}norm2", 32, (32,))
        tensors |= both(f"{at}attn.qkv", 96, (96, 32)) | both(f"{at}attn.proj", 32, (32, 32))
        tensors |= both(f"{at}mlp.fc1", 128, (128, 32)) | both(f"{at}mlp.fc2", 32, (32, 128))
    return tensors


def qwen25_vl() -> Case:
    tensors = decoder(N_BPE, biases=True) | qwen25_tower()
    rope = {"type": "mrope", "mrope_section": [2, 3, 3]}
    vision = {"model_type": "qwen2_5_vl", "depth": 4, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
              "patch_size": 4, "spatial_merge_size": 2, "fullatt_block_indexes": [1, 3],
              "out_hidden_size": 64}  # fmt: skip
    members = config("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", N_BPE, rope_scaling=rope, vision_config=vision)
    return Case("Qwen2.5-VL-tiny", members, tensors, byte_pair_tokenizer(QWEN2), pre="qwen2", sees=True, files=PICTURES)


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


CASES = [qwen2_vl(), qwen25_vl(), qwen3_vl(), qwen3_vl_moe()]
