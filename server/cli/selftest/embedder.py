"""A tiny embedding model, made on the spot: the built-in model writes text and has no embeddings.

A llama of one layer whose weights are pseudo-random numbers, with one token for each byte and mean pooling: its vectors
mean nothing, but they take the same way through the server as those of a model that was trained.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from typing import Final

from models.gguf.values import ArrayInfo, TensorInfo, Value, ValueType
from models.gguf.writer import aligned, encode_pair, encode_start, encode_tensor, lay_out

WIDTH: Final = 32
N_FEED_FORWARD: Final = 64
N_HEADS: Final = 4
N_CTX: Final = 256

_ALIGNMENT: Final = 32
_F32: Final = 0
_MEAN_POOLING: Final = 1
_END: Final = "<|end|>"
_MERGES: Final = ("t h", "h e")
_NORMAL, _CONTROL = 1, 3


def make_embedder(seed: int = 1) -> bytes:
    """The GGUF file, the same bytes each time."""
    tensors = lay_out(_tensors(len(_vocabulary())), _ALIGNMENT)
    pairs = list(_metadata())
    head = encode_start(len(tensors), len(pairs))
    head += b"".join(encode_pair(*pair) for pair in pairs) + b"".join(map(encode_tensor, tensors))
    numbers = random.Random(seed)
    return _padded(head) + b"".join(_padded(_weights(tensor, numbers)) for tensor in tensors)


def _metadata() -> Iterator[tuple[str, ValueType, Value]]:
    tokens = _vocabulary()
    types = [_NORMAL] * (len(tokens) - 1) + [_CONTROL]
    yield from (("general.architecture", ValueType.STRING, "llama"), ("general.name", ValueType.STRING, "Self-test"))
    yield "llama.attention.layer_norm_rms_epsilon", ValueType.FLOAT32, 1e-5
    for key, number in (
        ("llama.context_length", N_CTX),
        ("llama.embedding_length", WIDTH),
        ("llama.block_count", 1),
        ("llama.feed_forward_length", N_FEED_FORWARD),
        ("llama.attention.head_count", N_HEADS),
        ("llama.attention.head_count_kv", N_HEADS),
        ("llama.pooling_type", _MEAN_POOLING),
        ("tokenizer.ggml.eos_token_id", len(tokens) - 1),
    ):
        yield key, ValueType.UINT32, number
    yield "tokenizer.ggml.model", ValueType.STRING, "gpt2"
    yield "tokenizer.ggml.pre", ValueType.STRING, "default"
    yield "tokenizer.ggml.tokens", ValueType.ARRAY, ArrayInfo(ValueType.STRING, len(tokens), tokens)
    yield "tokenizer.ggml.token_type", ValueType.ARRAY, ArrayInfo(ValueType.INT32, len(types), tuple(types))
    yield "tokenizer.ggml.merges", ValueType.ARRAY, ArrayInfo(ValueType.STRING, len(_MERGES), _MERGES)
    yield "tokenizer.ggml.add_bos_token", ValueType.BOOL, False


def _vocabulary() -> tuple[str, ...]:
    """One token for each byte, in the letters that byte-level BPE writes bytes with, then the merges and the end.

    Source: GPT-2, encoder.py, bytes_to_unicode: bytes that do not print stand as the letters from 256 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    return (*letters, *(merge.replace(" ", "") for merge in _MERGES), _END)


def _tensors(n_vocab: int) -> Iterator[TensorInfo]:
    """The shapes, innermost first."""
    square, wide, narrow = (WIDTH, WIDTH), (WIDTH, N_FEED_FORWARD), (N_FEED_FORWARD, WIDTH)
    for name, shape in (
        ("token_embd", (WIDTH, n_vocab)),
        ("output_norm", (WIDTH,)),
        ("blk.0.attn_norm", (WIDTH,)),
        ("blk.0.attn_q", square),
        ("blk.0.attn_k", square),
        ("blk.0.attn_v", square),
        ("blk.0.attn_output", square),
        ("blk.0.ffn_norm", (WIDTH,)),
        ("blk.0.ffn_gate", wide),
        ("blk.0.ffn_up", wide),
        ("blk.0.ffn_down", narrow),
    ):
        yield TensorInfo(f"{name}.weight", shape, _F32, 0)


def _weights(tensor: TensorInfo, numbers: random.Random) -> bytes:
    """Ones for a norm, small numbers around zero for a matrix."""
    if len(tensor.shape) == 1:
        return array("f", [1.0] * tensor.shape[0]).tobytes()
    scale = tensor.shape[0] ** -0.5
    n_values = tensor.shape[0] * tensor.shape[1]
    return array("f", [(2 * numbers.random() - 1) * scale for _ in range(n_values)]).tobytes()


def _padded(data: bytes) -> bytes:
    return data.ljust(aligned(len(data), _ALIGNMENT), b"\x00")
