"""Write GGUF models of real shapes with random weights: the speed of a model does not depend on their values.

The logits get a standard deviation near 1.5, so that sampling has real work to do and does not fall into repetition.
The end token is a row of zeros, far below the best 40 of a large vocabulary: every request runs to its token limit.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

LOGIT_DEVIATION = 1.5
POOL_BYTES = 1 << 24
END_TOKEN = "<|endoftext|>"
ONES = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0x11, 0x11, 0x11, 0x11], np.uint8)
"""Q4_K's scales and minima of the eight parts of a block, 6 bits each: all 1."""

Bytes = NDArray[np.uint8]
Kind = gguf.GGMLQuantizationType


@dataclass(frozen=True)
class Shape:
    """A llama-architecture model. `kinds` are the types of most matrices, and of those that need more bits."""

    name: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_vocab: int
    n_ctx: int
    rope_base: float
    kinds: tuple[Kind, Kind] = (Kind.Q8_0, Kind.Q8_0)
    is_tied: bool = True  # whether the embeddings are the output matrix, too
    pooling: gguf.PoolingType | None = None  # makes it a model for embeddings

    @property
    def file_type(self) -> gguf.LlamaFileType:
        return _FILE_TYPES[self.kinds]

    @property
    def file_name(self) -> str:
        return f"{self.name}.{self.file_type.name.removeprefix('MOSTLY_')}.gguf"

    @property
    def kv_bytes_per_token(self) -> int:
        """Of keys and values in f16."""
        return self.n_layer * 2 * 2 * self.n_embd // self.n_head * self.n_head_kv


Q4_K_M = (Kind.Q4_K, Kind.Q6_K)
_FILE_TYPES = {
    (Kind.Q8_0, Kind.Q8_0): gguf.LlamaFileType.MOSTLY_Q8_0,
    (Kind.Q4_0, Kind.Q4_0): gguf.LlamaFileType.MOSTLY_Q4_0,
    (Kind.F16, Kind.F16): gguf.LlamaFileType.MOSTLY_F16,
    (Kind.BF16, Kind.BF16): gguf.LlamaFileType.MOSTLY_BF16,
    (Kind.Q6_K, Kind.Q6_K): gguf.LlamaFileType.MOSTLY_Q6_K,
    (Kind.IQ4_XS, Kind.IQ4_XS): gguf.LlamaFileType.MOSTLY_IQ4_XS,
    Q4_K_M: gguf.LlamaFileType.MOSTLY_Q4_K_M,
}
SMOL = Shape("smol-135m", 30, 576, 9, 3, 1536, 49152, 8192, 100_000.0)  # SmolLM2-135M
EMBED = replace(SMOL, name="embed-135m", pooling=gguf.PoolingType.MEAN)
LLAMA_1B = Shape("llama-1b", 16, 2048, 32, 8, 8192, 128_256, 131_072, 500_000.0, Q4_K_M)  # Llama-3.2-1B
LLAMA_8B = Shape("llama-8b", 32, 4096, 32, 8, 14336, 128_256, 131_072, 500_000.0, Q4_K_M, is_tied=False)  # 3.1-8B
TINY_8B = Shape("tiny-8b", 2, 256, 4, 2, 512, 2048, 8192, 500_000.0, Q4_K_M, is_tied=False)
"""Of everything that LLAMA_8B has, a little; for trying out."""
SHAPES = {shape.name: shape for shape in (SMOL, EMBED, LLAMA_1B, LLAMA_8B, TINY_8B)}


def find_shape(name: str) -> Shape | None:
    """By its name and type, as in `llama-1b.Q6_K`; None: there is no such shape, type, or shape of that type."""
    shape_name, _, type_name = name.partition(".")
    shape = SHAPES.get(shape_name)
    for kinds, file_type in _FILE_TYPES.items():
        if shape and file_type.name == f"MOSTLY_{type_name}":
            widths = {gguf.GGML_QUANT_SIZES[kind][0] for kind in kinds}
            return None if any(shape.n_embd % width for width in widths) else replace(shape, kinds=kinds)
    return None


def make(shape: Shape, folder: Path) -> Path:
    """The model's file, written when it is not there yet."""
    path = folder / shape.file_name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        _write(shape, part)
        part.rename(path)
    return path


def _write(shape: Shape, path: Path) -> None:
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("model")
    w.add_name(shape.name)
    w.add_context_length(shape.n_ctx)
    w.add_embedding_length(shape.n_embd)
    w.add_block_count(shape.n_layer)
    w.add_feed_forward_length(shape.n_ff)
    w.add_head_count(shape.n_head)
    w.add_head_count_kv(shape.n_head_kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(shape.n_embd // shape.n_head)
    w.add_rope_freq_base(shape.rope_base)
    w.add_file_type(shape.file_type)
    w.add_quantization_version(2)
    if shape.pooling is not None:
        w.add_pooling_type(shape.pooling)
    _add_tokenizer(w, shape)
    for name, tensor, kind in _tensors(shape, np.random.default_rng(0)):
        w.add_tensor(name, tensor, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def _add_tokenizer(w: gguf.GGUFWriter, shape: Shape) -> None:
    """Byte-level BPE without merges that matter: a prompt of n letters is n tokens; replies are made of short words."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = [b for b in range(256) if b not in plain]
    letters = [chr(b) for b in plain] + [chr(256 + i) for i in range(len(extra))]
    words = ("".join(x) for n in (3, 4) for x in itertools.product(string.ascii_lowercase, repeat=n))
    spaced = itertools.chain.from_iterable((f"Ġ{word}", word) for word in words)
    texts = [END_TOKEN, *letters, *itertools.islice(spaced, shape.n_vocab - 1 - len(letters))]
    w.add_vocab_size(shape.n_vocab)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(texts)
    w.add_token_types([int(gguf.TokenType.CONTROL)] + [int(gguf.TokenType.NORMAL)] * (len(texts) - 1))
    w.add_token_merges(["Ġ Ġ"])
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)


def _tensors(shape: Shape, rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.generic], Kind | None]]:
    """Name, values and type; as llama.cpp mixes types: more bits for the output, and for half of V and of what is
    projected down.
    """
    width, kv = shape.n_embd, shape.n_embd // shape.n_head * shape.n_head_kv
    pool = np.frombuffer(rng.bytes(POOL_BYTES), np.uint8)
    usual, better = shape.kinds
    ones = np.ones(width, np.float32)
    output = quantized(pool, shape.n_vocab, width, LOGIT_DEVIATION / np.sqrt(width), better)
    output[0] = 0  # the end token
    if shape.is_tied:
        yield "token_embd.weight", output, better
    else:
        yield "output.weight", output, better
        yield "token_embd.weight", quantized(pool, shape.n_vocab, width, 1.0, usual), usual
    yield "output_norm.weight", ones, None
    matrices = {
        "attn_q": (width, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, width),
        "ffn_gate": (shape.n_ff, width),
        "ffn_up": (shape.n_ff, width),
        "ffn_down": (width, shape.n_ff),
    }
    for layer in range(shape.n_layer):
        for norm in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{norm}.weight", ones, None
        for name, (rows, columns) in matrices.items():
            kind = better if name in ("attn_v", "ffn_down") and layer % 2 else usual
            yield f"blk.{layer}.{name}.weight", quantized(pool, rows, columns, 1 / np.sqrt(columns), kind), kind


def quantized(pool: Bytes, rows: int, columns: int, deviation: float, kind: Kind) -> Bytes:
    """Blocks of random values with the given standard deviation, as bytes: shape (rows, bytes of a row).

    The random bytes come from `pool`, over and over: making them anew takes much longer.
    """
    n_values, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.resize(pool, (rows, columns // n_values, n_bytes))
    _SCALE[kind](blocks, deviation)
    return blocks.reshape(rows, -1)


def _scale_q8_0(blocks: Bytes, deviation: float) -> None:
    """A float16 scale, then 32 values of -128 … 127."""
    blocks[:, :, :2] = _float16(deviation / 73.9)


def _scale_q4_k(blocks: Bytes, deviation: float) -> None:
    """Scale and minimum of the block and of its eight parts, then 256 values of 0 … 15; the minimum is their mean."""
    blocks[:, :, :2] = _float16(deviation / 4.61)
    blocks[:, :, 2:4] = _float16(deviation / 4.61 * 7.5)
    blocks[:, :, 4:16] = ONES


def _scale_q6_k(blocks: Bytes, deviation: float) -> None:
    """256 values of -32 … 31 in 4 and 2 bits, the scales of 16 parts, a float16 scale."""
    blocks[:, :, 192:208] = 1
    blocks[:, :, 208:] = _float16(deviation / 18.5)


def _scale_q4_0(blocks: Bytes, deviation: float) -> None:
    """A float16 scale, then 32 values of -8 … 7."""
    blocks[:, :, :2] = _float16(deviation / 4.61)


def _scale_iq4_xs(blocks: Bytes, deviation: float) -> None:
    """A float16 scale, those of the eight parts of a block (6 bits each, less 32: all 1), 256 values out of a table."""
    blocks[:, :, :2] = _float16(deviation / 67.2)
    blocks[:, :, 2:4] = 0xAA
    blocks[:, :, 4:8] = 0x11


def _fill_f16(blocks: Bytes, deviation: float) -> None:
    values = np.arange(-128, 128) * (deviation / 73.9)
    blocks.view(np.float16)[:] = values.astype(np.float16)[blocks[:, :, :1]]


def _fill_bf16(blocks: Bytes, deviation: float) -> None:
    """The upper half of a float32."""
    values = (np.arange(-128, 128) * (deviation / 73.9)).astype(np.float32)
    blocks.view(np.uint16)[:] = (values.view(np.uint32) >> 16).astype(np.uint16)[blocks[:, :, :1]]


def _float16(value: float) -> Bytes:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


_SCALE: dict[Kind, Callable[[Bytes, float], None]] = {
    Kind.Q8_0: _scale_q8_0,
    Kind.Q4_K: _scale_q4_k,
    Kind.Q6_K: _scale_q6_k,
    Kind.Q4_0: _scale_q4_0,
    Kind.IQ4_XS: _scale_iq4_xs,
    Kind.F16: _fill_f16,
    Kind.BF16: _fill_bf16,
}
