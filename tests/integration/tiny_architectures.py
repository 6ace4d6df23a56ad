"""Tiny models with random weights, one for each kind of memory that llama.cpp has.

What they say is nonsense, but it depends on every token before: a state that is not what it should be shows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from tests.conformance.scripted_network import ALPHABET, noise

WIDTH, FF, HEADS, LAYERS = 64, 64, 2, 4
INNER, STATE, CONV, RANK = 2 * WIDTH, 8, 4, 4
LORA_RANK = 2
WINDOW = 8
SHARP = 2.0
"""Gain of normalized queries and keys: with less, attention looks at everything alike, and so at nothing."""
Tensors = dict[str, np.ndarray]


def write(name: str, path: Path, *, pre_tokenizer: str = "gpt-2") -> Path:
    """Write the model of that name (a key of ARCHITECTURES). `pre_tokenizer`: how llama.cpp splits text first."""
    architecture, describe, layer = ARCHITECTURES[name]
    w = gguf.GGUFWriter(path, architecture)
    w.add_context_length(2048)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FF)
    w.add_layer_norm_rms_eps(1e-5)
    describe(w)
    _add_byte_tokenizer(w, pre_tokenizer)
    ones = np.ones(WIDTH, np.float32)
    gain = WIDTH**-0.5 if architecture == "gemma3" else 1.0  # which scales its embeddings itself
    embedding = noise(1, 260, WIDTH) * np.float32(gain)
    last_norm = "token_embd_norm.weight" if architecture == "lfm2" else "output_norm.weight"
    tensors: Tensors = {"token_embd.weight": embedding, last_norm: ones / np.float32(gain)}
    for i in range(LAYERS):
        tensors |= {f"blk.{i}.{key}": value for key, value in layer(i).items()}
    for key, value in tensors.items():
        w.add_tensor(key, value.astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def write_adapter(model: Path, path: Path, *, seed: int, gain: float = 0.6) -> Path:
    """A LoRA adapter with random numbers for every matrix in the layers of a model."""
    reader = gguf.GGUFReader(model)
    tensors: Tensors = {}
    for number, tensor in enumerate(reader.tensors):
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2 and min(tensor.shape) > CONV:
            columns, rows = (int(n) for n in tensor.shape)
            tensors[f"{tensor.name}.lora_a"] = _matrix(seed + 2 * number, LORA_RANK, columns, gain)
            tensors[f"{tensor.name}.lora_b"] = _matrix(seed + 2 * number + 1, rows, LORA_RANK, gain)
    return write_lora(reader.fields["general.architecture"].contents(), path, tensors)


def write_lora(architecture: str, path: Path, tensors: Tensors) -> Path:
    """A LoRA adapter with these tensors."""
    w = gguf.GGUFWriter(path, architecture)
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", float(LORA_RANK))
    for key, value in tensors.items():
        w.add_tensor(key, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def _add_byte_tokenizer(w: gguf.GGUFWriter, pre_tokenizer: str) -> None:
    texts = ["<end>", *(ALPHABET[byte] for byte in range(256)), "<a>", "<b>", "<c>"]
    control = int(gguf.TokenType.CONTROL)
    w.add_vocab_size(len(texts))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre_tokenizer)
    w.add_token_list(texts)
    w.add_token_types([control] + [int(gguf.TokenType.NORMAL)] * 256 + [control] * 3)
    w.add_token_merges(["Ġ Ġ"])
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)


def _matrix(seed: int, rows: int, columns: int, gain: float = 1.0) -> np.ndarray:
    return noise(seed, rows, columns) * np.float32(gain / np.sqrt(columns))


def _attention(seed: int) -> Tensors:
    names = ("attn_q", "attn_k", "attn_v", "attn_output")
    matrices = {f"{name}.weight": _matrix(seed + i, WIDTH, WIDTH, 2.0) for i, name in enumerate(names)}
    return {"attn_norm.weight": np.ones(WIDTH, np.float32)} | matrices


def _feed_forward(seed: int) -> Tensors:
    return {
        "ffn_norm.weight": np.ones(WIDTH, np.float32),
        "ffn_gate.weight": _matrix(seed, FF, WIDTH),
        "ffn_up.weight": _matrix(seed + 1, FF, WIDTH),
        "ffn_down.weight": _matrix(seed + 2, WIDTH, FF),
    }


def _mamba(seed: int) -> Tensors:
    return {
        "attn_norm.weight": np.ones(WIDTH, np.float32),
        "ssm_in.weight": _matrix(seed, 2 * INNER, WIDTH),
        "ssm_conv1d.weight": _matrix(seed + 1, INNER, CONV),
        "ssm_conv1d.bias": noise(seed + 2, INNER) * np.float32(0.1),
        "ssm_x.weight": _matrix(seed + 3, RANK + 2 * STATE, INNER, 2.0),
        "ssm_dt.weight": _matrix(seed + 4, INNER, RANK),
        "ssm_dt.bias": noise(seed + 5, INNER) * np.float32(0.1),
        "ssm_a": -np.tile(np.arange(1, STATE + 1, dtype=np.float32) / STATE, (INNER, 1)),
        "ssm_d": np.ones(INNER, np.float32),
        "ssm_out.weight": _matrix(seed + 6, WIDTH, INNER, 2.0),
    }


def _heads(w: gguf.GGUFWriter) -> None:
    w.add_head_count(HEADS)
    w.add_head_count_kv(HEADS)
    w.add_rope_dimension_count(WIDTH // HEADS)


def _gemma3(w: gguf.GGUFWriter) -> None:
    """Every other layer has a window, the others see everything."""
    _heads(w)
    w.add_key_length(WIDTH // HEADS)
    w.add_value_length(WIDTH // HEADS)
    w.add_sliding_window(WINDOW)
    w.add_sliding_window_pattern(2)


def _gemma3_layer(i: int) -> Tensors:
    head = np.full(WIDTH // HEADS, SHARP, np.float32)
    norms = {f"{name}.weight": np.ones(WIDTH, np.float32) for name in ("post_attention_norm", "post_ffw_norm")}
    heads = {"attn_q_norm.weight": head, "attn_k_norm.weight": head}
    return _attention(100 * i + 10) | _feed_forward(100 * i + 20) | norms | heads


def _ssm(w: gguf.GGUFWriter) -> None:
    w.add_ssm_conv_kernel(CONV)
    w.add_ssm_inner_size(INNER)
    w.add_ssm_state_size(STATE)
    w.add_ssm_time_step_rank(RANK)


def _mamba_only(w: gguf.GGUFWriter) -> None:
    _ssm(w)
    w.add_head_count(1)


def _jamba(w: gguf.GGUFWriter) -> None:
    """Every other layer attends."""
    _ssm(w)
    w.add_head_count(HEADS)
    w.add_head_count_kv([0, HEADS] * (LAYERS // 2))


def _jamba_layer(i: int) -> Tensors:
    feed_forward = _feed_forward(100 * i + 20)
    if i % 2:
        return _attention(100 * i + 10) | feed_forward
    norms = {"ssm_dt_norm.weight": RANK, "ssm_b_norm.weight": STATE, "ssm_c_norm.weight": STATE}
    return _mamba(100 * i + 10) | {name: np.ones(n, np.float32) for name, n in norms.items()} | feed_forward


def _mamba2(w: gguf.GGUFWriter) -> None:
    _mamba_only(w)
    w.add_ssm_group_count(1)


def _mamba2_layer(i: int) -> Tensors:
    seed = 100 * i + 10
    mixed = INNER + 2 * STATE  # what the convolution sees: the input, B and C
    return {
        "attn_norm.weight": np.ones(WIDTH, np.float32),
        "ssm_in.weight": _matrix(seed, INNER + mixed + RANK, WIDTH, 2.0),
        "ssm_conv1d.weight": _matrix(seed + 1, mixed, CONV, 2.0),
        "ssm_conv1d.bias": noise(seed + 2, mixed) * np.float32(0.1),
        "ssm_dt.bias": noise(seed + 5, RANK) * np.float32(0.1),
        "ssm_a": -np.arange(1, RANK + 1, dtype=np.float32).reshape(RANK, 1) / RANK,
        "ssm_d": np.ones((RANK, 1), np.float32),
        "ssm_norm.weight": np.ones((1, INNER), np.float32),
        "ssm_out.weight": _matrix(seed + 6, WIDTH, INNER, 2.0),
    }


def _lfm2(w: gguf.GGUFWriter) -> None:
    """Every other layer attends; the others have short convolutions."""
    w.add_head_count(HEADS)
    w.add_head_count_kv([0, HEADS] * (LAYERS // 2))
    w.add_rope_dimension_count(WIDTH // HEADS)
    w.add_shortconv_l_cache(CONV)


def _lfm2_layer(i: int) -> Tensors:
    feed_forward = _feed_forward(100 * i + 20)
    if i % 2:
        head = np.full(WIDTH // HEADS, SHARP, np.float32)
        return _attention(100 * i + 10) | feed_forward | {"attn_q_norm.weight": head, "attn_k_norm.weight": head}
    convolution = {
        "attn_norm.weight": np.ones(WIDTH, np.float32),
        "shortconv.in_proj.weight": _matrix(100 * i + 10, 3 * WIDTH, WIDTH, 2.0),
        "shortconv.conv.weight": _matrix(100 * i + 11, WIDTH, CONV, 2.0),
        "shortconv.out_proj.weight": _matrix(100 * i + 12, WIDTH, WIDTH, 2.0),
    }
    return convolution | feed_forward


Describe = Callable[[gguf.GGUFWriter], None]
ARCHITECTURES: dict[str, tuple[str, Describe, Callable[[int], Tensors]]] = {
    "attention": ("llama", _heads, lambda i: _attention(100 * i + 10) | _feed_forward(100 * i + 20)),
    "sliding window": ("gemma3", _gemma3, _gemma3_layer),
    "recurrent": ("mamba", _mamba_only, lambda i: _mamba(100 * i + 10)),
    "recurrent, second kind": ("mamba2", _mamba2, _mamba2_layer),
    "hybrid": ("jamba", _jamba, _jamba_layer),
    "short convolutions": ("lfm2", _lfm2, _lfm2_layer),
}
