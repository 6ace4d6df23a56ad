"""GGUF files made in a test: whatever metadata and tensors it needs, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.gguf.values import ArrayInfo, ByteOrder, TensorInfo, Value, ValueType
from models.gguf.writer import aligned, encode_pair, encode_start, encode_tensor, lay_out

Typed = tuple[ValueType, Value]
LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.file_type": 1,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.feed_forward_length": 128,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 1,
}
"""Metadata of a small text model."""


def strings(*values: str) -> Typed:
    return ValueType.ARRAY, ArrayInfo(ValueType.STRING, len(values), values)


def numbers(element: ValueType, *values: float) -> Typed:
    return ValueType.ARRAY, ArrayInfo(element, len(values), values)


def typed(value: Any) -> Typed:
    """A plain value with the type that files usually give it; a pair of type and value stays as it is."""
    match value:
        case (ValueType(), _):
            return value  # type: ignore[return-value]  # the pattern has looked at it
        case bool():
            return ValueType.BOOL, value
        case int():
            return ValueType.UINT32, value
        case float():
            return ValueType.FLOAT32, value
        case str():
            return ValueType.STRING, value
        case list() if value and isinstance(value[0], str):
            return strings(*value)
        case list():
            return numbers(ValueType.INT32, *value)
    raise TypeError(f"no usual type for {value!r}")


def f16(name: str, *shape: int) -> TensorInfo:
    """A tensor of type F16; its offset is given when the file is made."""
    return TensorInfo(name, shape, 1, 0)


LLAMA_TENSORS = (
    f16("token_embd.weight", 64, 4),
    f16("blk.0.attn_q.weight", 64, 64),
    f16("blk.1.attn_q.weight", 64, 64),
)


def gguf_bytes(
    metadata: Mapping[str, Any] | None = None,
    tensors: Sequence[TensorInfo] = (),
    *,
    order: ByteOrder = ByteOrder.LITTLE,
    alignment: int = 32,
) -> bytes:
    """A whole file; the data of the n-th tensor is the byte n + 1, repeated."""
    pairs = [encode_pair(key, *typed(value), order) for key, value in (metadata or {}).items()]
    placed = lay_out(tensors, alignment)
    head = encode_start(len(placed), len(pairs), order) + b"".join(pairs)
    head += b"".join(encode_tensor(tensor, order) for tensor in placed)
    data = b"".join(
        (bytes([n + 1]) * tensor.size_bytes).ljust(aligned(tensor.size_bytes, alignment), b"\0")
        for n, tensor in enumerate(placed)
    )
    return head.ljust(aligned(len(head), alignment), b"\0") + data if placed else head


def llama_bytes(**changes: Any) -> bytes:
    """A small text model; `changes` replace or add metadata, dots in keys written as `__`."""
    return gguf_bytes(LLAMA | {key.replace("__", "."): value for key, value in changes.items()}, LLAMA_TENSORS)
