"""What the server needs to know of a GGUF file, in one small value: for prompts, for memory, for the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.gguf.layers import LayerFacts, layers_of
from models.gguf.reader import read_strings
from models.gguf.values import GGUF

DEFAULT_TOKENS: Final = {"llama": (1, 2), "gpt2": (11, 11)}
"""BOS and EOS of a tokenizer model whose file names none (llama-vocab.cpp, llama_vocab::impl::load)."""


@dataclass(frozen=True, slots=True)
class GGUFFacts:
    """Facts of one file. Counts are 0 and texts empty where the file says nothing.

    Sizes in bytes: `size_bytes` of the file, `shared_bytes` of the tensors outside of the layers.
    """

    architecture: str = "unknown"
    file_type: int | None = None
    size_bytes: int = 0
    parameter_count: int = 0
    n_ctx_train: int = 0
    n_embd: int = 0
    n_ff: int = 0
    n_head: int = 0
    n_vocab: int = 0
    layers: tuple[LayerFacts, ...] = ()
    shared_bytes: int = 0
    pooling_type: int | None = None
    add_bos: bool | None = None
    add_eos: bool | None = None
    bos_token: str = ""
    eos_token: str = ""
    tokenizer_model: str = ""
    tokenizer_pre: str = ""
    chat_template: str = ""
    has_vision: bool = False
    has_audio: bool = False
    has_raw_embeddings: bool = False
    """Whether Ollama's engine gives this model's vectors without normalising them (http-api 6.14)."""

    @property
    def n_layer(self) -> int:
        return len(self.layers)

    @property
    def weights_bytes(self) -> int:
        """All tensors."""
        return self.shared_bytes + sum(layer.weights_bytes for layer in self.layers)

    @property
    def is_embedding(self) -> bool:
        """Whether the file asks for its vectors to be pooled, and not for text."""
        return self.pooling_type is not None


def facts_of(gguf: GGUF, path: Path) -> GGUFFacts:
    """The facts of a file that was read with its tensors; it is opened once more for the texts of BOS and EOS.

    Raises: InvalidGGUF; OSError if the file cannot be read.
    """
    layers = layers_of(gguf)
    bos_token, eos_token = _special_tokens(gguf, path)
    return GGUFFacts(
        architecture=gguf.architecture,
        file_type=gguf.uint32("general.file_type"),
        size_bytes=gguf.size_bytes,
        parameter_count=gguf.parameter_count,
        n_ctx_train=gguf.uint32("context_length") or 0,
        n_embd=gguf.uint32("embedding_length") or 0,
        n_ff=max(gguf.integers("feed_forward_length"), default=0),
        n_head=max(gguf.integers("attention.head_count"), default=0),
        n_vocab=_n_vocab(gguf),
        layers=layers,
        shared_bytes=sum(t.size_bytes for t in gguf.tensors or ()) - sum(layer.weights_bytes for layer in layers),
        pooling_type=gguf.uint32("pooling_type"),
        add_bos=gguf.flag("tokenizer.ggml.add_bos_token"),
        add_eos=gguf.flag("tokenizer.ggml.add_eos_token"),
        bos_token=bos_token,
        eos_token=eos_token,
        tokenizer_model=gguf.text("tokenizer.ggml.model") or "",
        tokenizer_pre=gguf.text("tokenizer.ggml.pre") or "",
        chat_template=gguf.text("tokenizer.chat_template") or "",
        has_vision=gguf.has("vision.block_count"),
        has_audio=gguf.has("audio.block_count"),
        has_raw_embeddings=_has_raw_embeddings(gguf),
    )


def _n_vocab(gguf: GGUF) -> int:
    tokens = gguf.array("tokenizer.ggml.tokens")
    return tokens.count if tokens else gguf.uint32("vocab_size") or 0


def _has_raw_embeddings(gguf: GGUF) -> bool:
    normalizes = gguf.flag("normalize_embeddings")
    match gguf.architecture:
        case "nomic-bert" | "nomic-bert-moe":
            return normalizes is not True
        case "bert":
            return normalizes is False or gguf.text("tokenizer.ggml.model") != "bert"
        case _:
            return False


def _special_tokens(gguf: GGUF, path: Path) -> tuple[str, str]:
    """The texts of BOS and EOS as the vocabulary spells them; empty for one that there is not."""
    defaults = DEFAULT_TOKENS.get(gguf.text("tokenizer.ggml.model") or "", (-1, -1))
    asked = (gguf.uint32("tokenizer.ggml.bos_token_id"), gguf.uint32("tokenizer.ggml.eos_token_id"))
    bos, eos = (default if said is None else said for said, default in zip(asked, defaults, strict=True))
    texts = read_strings(path, gguf, "tokenizer.ggml.tokens", {bos, eos})
    return texts.get(bos, ""), texts.get(eos, "")
