"""Tiny models that make vectors of texts."""

from __future__ import annotations

from tests.models.create.convert.checkpoints import Case, Shape
from tests.models.create.convert.decoder import MEAN
from tests.models.create.convert.tokenizers import unigram_tokenizer, word_tokenizer


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


NOMIC = {
    "model_type": "nomic_bert", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "causal": False,
    "prenorm": False, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
    "rotary_emb_base": 1000, "layer_norm_epsilon": 1e-12, "type_vocab_size": 2,
}  # fmt: skip


def nomic(n_vocab: int, *, moe: bool) -> dict[str, Shape]:
    tensors: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (n_vocab, 64), "embeddings.token_type_embeddings.weight": (2, 64),
        "emb_ln.weight": (64,), "emb_ln.bias": (64,),
    }  # fmt: skip
    for block in range(2):
        at = f"encoder.layers.{block}."
        tensors |= {f"{at}attn.Wqkv.weight": (192, 64), f"{at}attn.out_proj.weight": (64, 64)}
        tensors |= {f"{at}norm{n}.{part}": (64,) for n in (1, 2) for part in ("weight", "bias")}
        if not moe:
            tensors |= {f"{at}mlp.{part}.weight": (96, 64) for part in ("fc11", "fc12")}
            tensors[f"{at}mlp.fc2.weight"] = (64, 96)
            continue
        tensors |= {f"{at}attn.Wqkv.bias": (192,), f"{at}attn.out_proj.bias": (64,)}
        if block % 2:
            tensors |= {f"{at}mlp.experts.mlp.w1": (4 * 96, 64), f"{at}mlp.experts.mlp.w2": (4 * 96, 64)}
            tensors |= {f"{at}mlp.experts.bias": (64,), f"{at}mlp.router.layer.weight": (4, 64)}
        else:
            tensors |= {f"{at}mlp.fc1.weight": (96, 64), f"{at}mlp.fc1.bias": (96,)}
            tensors |= {f"{at}mlp.fc2.weight": (64, 96), f"{at}mlp.fc2.bias": (64,)}
    return tensors


def nomic_bert() -> Case:
    members = NOMIC | {
        "architectures": ["NomicBertModel"], "vocab_size": 20, "n_positions": 8192, "max_trained_positions": 2048,
        "activation_function": "swiglu", "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
    }  # fmt: skip
    return Case("nomic-embed-tiny-v1.5", members, nomic(20, moe=False), word_tokenizer, dtype="F32", files=MEAN)


def nomic_bert_moe() -> Case:
    members = NOMIC | {
        "architectures": ["NomicBertModel"], "vocab_size": 28, "n_positions": 2048, "max_trained_positions": 2048,
        "activation_function": "gelu", "qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True,
        "moe_every_n_layers": 2, "moe_top_k": 2, "num_experts": 4, "pad_token_id": 1, "max_position_embeddings": 2050,
    }  # fmt: skip
    return Case("nomic-embed-tiny-v2-moe", members, nomic(28, moe=True), unigram_tokenizer, dtype="F32", files=MEAN)


CASES = [bert(), nomic_bert(), nomic_bert_moe()]
