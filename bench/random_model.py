"""Write GGUF models of real shapes with random weights: the speed of a model does not depend on their values.

The logits get a standard deviation near 1.5, so that sampling has real work to do and does not fall into repetition.
The end token is a row of zeros, far below the best 40 of a large vocabulary: every request runs to its token limit.
"""

from __future__ import annotations

import itertools
import string
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

LOGIT_DEVIATION = 1.5
BLOCK = 32  # values of one Q8_0 block: a float16 scale, then as many int8
INT8_DEVIATION = 127 / np.sqrt(3)
END_TOKEN = "<|endoftext|>"


@dataclass(frozen=True)
class Shape:
    """A llama-architecture model with tied embeddings."""

    name: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_vocab: int
    n_ctx: int
    rope_base: float

    @property
    def file_name(self) -> str:
        return f"{self.name}.Q8_0.gguf"


SMOL = Shape("smol-135m", 30, 576, 9, 3, 1536, 49152, 8192, 100_000.0)  # SmolLM2-135M
SHAPES = {shape.name: shape for shape in (SMOL,)}


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
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(2)
    _add_tokenizer(w, shape)
    for name, tensor in _tensors(shape, np.random.default_rng(0)):
        quantized = tensor.dtype == np.uint8
        w.add_tensor(name, tensor, raw_dtype=gguf.GGMLQuantizationType.Q8_0 if quantized else None)
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


def _tensors(shape: Shape, rng: np.random.Generator) -> list[tuple[str, NDArray[np.generic]]]:
    width, kv = shape.n_embd, shape.n_embd // shape.n_head * shape.n_head_kv
    ones = np.ones(width, np.float32)
    embedding = _quantized(rng, shape.n_vocab, width, LOGIT_DEVIATION / np.sqrt(width))
    embedding[0] = 0  # the end token
    tensors: list[tuple[str, NDArray[np.generic]]] = [("token_embd.weight", embedding), ("output_norm.weight", ones)]
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
        tensors += [(f"blk.{layer}.{norm}.weight", ones) for norm in ("attn_norm", "ffn_norm")]
        for name, (rows, columns) in matrices.items():
            tensors.append((f"blk.{layer}.{name}.weight", _quantized(rng, rows, columns, 1 / np.sqrt(columns))))
    return tensors


def _quantized(rng: np.random.Generator, rows: int, columns: int, deviation: float) -> NDArray[np.uint8]:
    """Random Q8_0 rows as bytes, shape (rows, columns / 32 * 34), of values with the given standard deviation."""
    blocks = np.empty((rows, columns // BLOCK, 2 + BLOCK), np.uint8)
    blocks[:, :, :2] = np.frombuffer(np.float16(deviation / INT8_DEVIATION).tobytes(), np.uint8)
    blocks[:, :, 2:] = rng.integers(-127, 128, blocks[:, :, 2:].shape, np.int8).view(np.uint8)
    return blocks.reshape(rows, -1)
