"""Tiny models of Gemma 1 to 3."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import GEMMA_NORMS, MEAN, N_SPM, PICTURES, config, decoder
from tests.models.create.convert.tokenizers import sentencepiece_tokenizer


def gemma() -> Case:
    return Case(
        "tiny-gemma",
        config("GemmaForCausalLM", "gemma", N_SPM, head_dim=16, bos_token_id=2, eos_token_id=1, pad_token_id=0),
        decoder(N_SPM),
        sentencepiece_tokenizer(),
    )


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


def bare_gemma3() -> Case:
    left_out = ("rope_theta", "rms_norm_eps", "max_position_embeddings", "num_key_value_heads")
    members = config("Gemma3ForCausalLM", "gemma3_text", N_SPM, head_dim=16, sliding_window=32)
    return Case(
        "bare-gemma-3",
        {key: value for key, value in members.items() if key not in left_out},
        decoder(N_SPM, n_kv=4, tied=True, norms=GEMMA_NORMS, qk_norms=16),
        sentencepiece_tokenizer(),
    )


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


def embedding_gemma() -> Case:
    tensors = decoder(N_SPM, prefix="", tied=True, norms=GEMMA_NORMS, qk_norms=16)
    members = config("Gemma3TextModel", "gemma3_text", N_SPM, head_dim=16, sliding_window=64, rope_theta=1000000.0,
                     rope_local_base_freq=10000.0, use_bidirectional_attention=True)  # fmt: skip
    return Case("embeddinggemma-tiny", members, tensors, sentencepiece_tokenizer(), dtype="F32", files=MEAN)


CASES = [gemma(), gemma2(), gemma3(), bare_gemma3(), gemma3_that_sees(), embedding_gemma()]
