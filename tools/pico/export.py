"""Writes the trained network as a GGUF for llama.cpp: Q8_0 matrices, float32 norms, tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from torch import Tensor

from tools.pico.dataset import TEMPLATE
from tools.pico.network import Network, Shape
from tools.pico.tokenizer import CONTROL, VISIBLE, Tokenizer

Q8_0 = gguf.GGMLQuantizationType.Q8_0


def write_gguf(path: Path, network: Network, bpe: Tokenizer, *, n_ctx: int) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    _write_header(writer, network.shape, n_ctx)
    _write_tokenizer(writer, bpe)
    for name, tensor in tensors(network):
        if tensor.ndim == 2:
            writer.add_tensor(name, gguf.quants.quantize(tensor, Q8_0), raw_dtype=Q8_0)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(network: Network) -> list[tuple[str, np.ndarray]]:
    """Name and float32 values of every tensor; the parameters are called as llama.cpp calls them, after `blk.`."""
    return [(name.replace("blocks.", "blk."), _array(values)) for name, values in network.named_parameters()]


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().numpy())


def _write_header(writer: gguf.GGUFWriter, shape: Shape, n_ctx: int) -> None:
    writer.add_type("model")
    writer.add_name("Pico")
    writer.add_author("The Puna project")
    writer.add_description("The tiny built-in demonstration model of Puna, trained from scratch by tools/pico.")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_dimension_count(shape.n_rot)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.n_vocab)


def _write_tokenizer(writer: gguf.GGUFWriter, bpe: Tokenizer) -> None:
    kinds = {**dict.fromkeys(CONTROL, gguf.TokenType.CONTROL), **dict.fromkeys(VISIBLE, gguf.TokenType.USER_DEFINED)}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(bpe.tokens)
    writer.add_token_types([int(kinds.get(token, gguf.TokenType.NORMAL)) for token in bpe.tokens])
    writer.add_token_merges([" ".join(pair) for pair in bpe.merges])
    writer.add_bos_token_id(bpe.ids["<|endoftext|>"])
    writer.add_eos_token_id(bpe.im_end)
    writer.add_pad_token_id(bpe.ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
