"""Make the tiny GGUF models that the recorded exchanges talk to.

    python -m tests.conformance.make_models OUT_DIR [NAME ...]    write them (default: all), print size and SHA-256
    python -m tests.conformance.make_models --list                names and one-line descriptions

The same versions of numpy and gguf (0.19.0) write the same bytes on every machine: there is no random generator, all
"noise" comes from an integer hash. Every file is below 3 MB and loads in a fraction of a second.

The text models are *scripted*, not trained: see scripted_network.py. Without a trigger they say "Hello there, how can I
help you?". Two scripts ("dice", "walk") are real distributions, for sampler and logprob tests.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from tests.conformance.scripted_network import (
    ENDOFTEXT,
    FLAG,
    IM_END,
    IM_START,
    MERGES,
    N_FF,
    N_HEAD,
    N_KV,
    WIDTH,
    Vocabulary,
    build_vocabulary,
    embeddings,
    noise,
    scripted_tensors,
)

TEMPLATES = Path(__file__).parent / "templates"  # ours; Ollama recognises ChatML and none of the others

# --------------------------------------------------------------------------------------------------------------------
# Writers: one function per kind of file


def write_text_model(
    path: Path, *, title: str, template: str | None, context: int = 2048, add_bos: bool = False, bos: int = IM_START
) -> None:
    """A scripted llama model: float16 matrices, float32 output rows (their small differences matter)."""
    v = build_vocabulary()
    w = _llama_header(path, title=title, context=context, width=WIDTH, layers=1, ff=N_FF, heads=N_HEAD, kv=N_KV)
    _bpe_tokenizer(w, v, add_bos=add_bos, bos=bos)
    if template is not None:
        w.add_chat_template((TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8"))
    _write_tensors(w, scripted_tensors(v))


def write_llama_embedder(path: Path) -> None:
    """A llama-shaped embedding model with hash weights: pools the last token, has no scripted text."""
    v, width, ff, heads = build_vocabulary(), 64, 128, 4
    w = _llama_header(
        path, title="Tiny Llama Embedder", context=256, width=width, layers=2, ff=ff, heads=heads, kv=heads
    )
    w.add_pooling_type(gguf.PoolingType.LAST)
    _bpe_tokenizer(w, v, add_bos=False, bos=IM_START)
    t = {"token_embd.weight": noise(50, len(v.texts), width), "output_norm.weight": np.ones(width, np.float32)}
    for i in range(2):
        t |= {f"blk.{i}.{n}.weight": np.ones(width, np.float32) for n in ("attn_norm", "ffn_norm")}
        for j, (n, rows, cols) in enumerate(
            _square(width, ff, ("attn_q", "attn_k", "attn_v", "attn_output"), "ffn_gate")
        ):
            t[f"blk.{i}.{n}.weight"] = noise(60 + 10 * i + j, rows, cols) / np.float32(np.sqrt(cols))
    _write_tensors(w, t)


def _square(width: int, ff: int, square: tuple[str, ...], *wide: str) -> list[tuple[str, int, int]]:
    return [(n, width, width) for n in square] + [(n, ff, width) for n in (*wide, "ffn_up")] + [("ffn_down", width, ff)]


BERT_WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    "hello",
    "world",
    "sun",
    "is",
    "blue",
    "sky",
    "why",
    "ing",
    "s",
)


def write_bert(path: Path) -> None:
    """A two-layer BERT encoder with a WordPiece vocabulary, mean pooling, hash weights, float32."""
    width, ff, heads, layers, context = 64, 128, 4, 2, 64
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = list(dict.fromkeys([*("▁" + c for c in letters), *letters, *("▁" + x for x in BERT_WORDS), *BERT_WORDS]))
    w = gguf.GGUFWriter(path, "bert")
    w.add_type("model")
    w.add_name("Tiny Bert")
    w.add_context_length(context)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(ff)
    w.add_head_count(heads)
    w.add_layer_norm_eps(1e-12)
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens + words)
    w.add_token_types([int(gguf.TokenType.CONTROL)] * len(tokens) + [int(gguf.TokenType.NORMAL)] * len(words))
    w.add_token_type_count(2)
    w.add_pad_token_id(0)
    w.add_unk_token_id(1)
    w.add_bos_token_id(2)  # [CLS]
    w.add_eos_token_id(3)  # [SEP]
    w.add_sep_token_id(3)
    w.add_mask_token_id(4)
    t = {
        "token_embd.weight": noise(100, len(tokens) + len(words), width),
        "token_types.weight": noise(101, 2, width) * np.float32(0.1),
        "position_embd.weight": noise(102, context, width) * np.float32(0.1),
        **_norm("token_embd_norm", 103, width),
    }
    for i in range(layers):
        b = f"blk.{i}."
        for j, (n, rows, cols) in enumerate(_square(width, ff, ("attn_q", "attn_k", "attn_v", "attn_output"))):
            t[f"{b}{n}.weight"] = noise(200 + 20 * i + j, rows, cols) / np.float32(np.sqrt(cols))
            t[f"{b}{n}.bias"] = noise(300 + 20 * i + j, rows) * np.float32(0.02)
        t |= _norm(b + "attn_output_norm", 400 + i, width) | _norm(b + "layer_output_norm", 500 + i, width)
    _write_tensors(w, t, half=False)


def _norm(name: str, seed: int, width: int) -> dict[str, np.ndarray]:
    return {
        f"{name}.weight": np.float32(1) + noise(seed, width) * np.float32(0.1),
        f"{name}.bias": noise(seed + 50, width) * np.float32(0.1),
    }


def write_lora(path: Path, first: str = "Adapted") -> None:
    """A rank-1 LoRA adapter for the text models: the default reply begins with `first`, as "Adapted reply." does."""
    v = build_vocabulary()
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 1.0)
    w.add_name("Tiny Adapter")
    a, b = np.zeros((1, WIDTH), np.float32), np.zeros((len(v.texts), 1), np.float32)
    a[0, FLAG] = 1.0
    b[v.piece_ids[first], 0] = 8.0
    _write_tensors(w, {"output.weight.lora_a": a, "output.weight.lora_b": b}, half=False)


def write_projector(path: Path) -> None:
    """A CLIP vision tower (28 pixels, 4 patches) that turns every image into four copies of the "picture" trigger."""
    width, ff, patch, side = 16, 16, 14, 2
    w = gguf.GGUFWriter(path, "clip")
    w.add_type("mmproj")
    w.add_name("Tiny Eye")
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", "mlp")
    w.add_bool("clip.use_gelu", True)
    sizes = {"image_size": patch * side, "patch_size": patch, "embedding_length": width, "feed_forward_length": ff}
    for key, number in (sizes | {"projection_dim": WIDTH, "block_count": 1, "attention.head_count": 2}).items():
        w.add_uint32(f"clip.vision.{key}", number)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    w.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    w.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    v = build_vocabulary()
    t = {
        "v.patch_embd.weight": noise(600, width, 3, patch, patch) * np.float32(0.02),
        "v.position_embd.weight": noise(601, side * side, width) * np.float32(0.1),
        "v.pre_ln.weight": np.ones(width, np.float32),
        "v.pre_ln.bias": np.zeros(width, np.float32),
        "mm.0.weight": noise(602, width, width) * np.float32(0.1),
        "mm.0.bias": np.zeros(width, np.float32),
        "mm.2.weight": np.zeros((WIDTH, width), np.float32),
        "mm.2.bias": embeddings(v)[v.trigger_ids["picture"]],
    }
    for n, rows, cols in _square(width, ff, ("attn_q", "attn_k", "attn_v", "attn_out")):
        t[f"v.blk.0.{n}.weight"] = np.zeros((rows, cols), np.float32)
        t[f"v.blk.0.{n}.bias"] = np.zeros(rows, np.float32)
    for n in ("ln1", "ln2"):
        t[f"v.blk.0.{n}.weight"], t[f"v.blk.0.{n}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)
    _write_tensors(w, t, half=False)


def _llama_header(
    path: Path, *, title: str, context: int, width: int, layers: int, ff: int, heads: int, kv: int
) -> gguf.GGUFWriter:
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("model")
    w.add_name(title)
    w.add_context_length(context)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(ff)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_dimension_count(width // heads)
    w.add_rope_freq_base(1_000_000.0)
    return w


def _bpe_tokenizer(w: gguf.GGUFWriter, v: Vocabulary, *, add_bos: bool, bos: int) -> None:
    w.add_vocab_size(len(v.texts))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(v.texts)
    w.add_token_types(v.types)
    w.add_token_merges(list(MERGES))
    w.add_bos_token_id(bos)
    w.add_eos_token_id(IM_END)
    w.add_unk_token_id(ENDOFTEXT)
    w.add_pad_token_id(ENDOFTEXT)
    w.add_add_bos_token(add_bos)


def _write_tensors(w: gguf.GGUFWriter, tensors: dict[str, np.ndarray], *, half: bool = True) -> None:
    """Write the file: matrices as float16 if `half`, except the output rows.

    Key and tensor order are those of llama-quantize in copy mode, so that it reproduces the file byte for byte
    (`ollama create` passes uploads through it).
    """
    w.add_quantization_version(2)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    for name in sorted(tensors, key=lambda n: (int(n.split(".")[1]) if n.startswith("blk.") else -1, n)):
        x = tensors[name]
        w.add_tensor(name, x.astype(np.float16 if half and x.ndim == 2 and name != "output.weight" else np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# --------------------------------------------------------------------------------------------------------------------
# The files

MODELS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "chatml": ("scripted, ChatML chat template (recognised by Ollama), 8192 context",
               lambda p: write_text_model(p, title="Tiny Chat", template="chatml", context=8192)),
    "agent": ("scripted, Jinja template with tools, tool results and thinking",
              lambda p: write_text_model(p, title="Tiny Agent", template="agent")),
    "bare": ("scripted, no chat template: for Go TEMPLATEs and raw prompts",
             lambda p: write_text_model(p, title="Tiny Bare", template=None)),
    "brackets": ("scripted, Jinja template Ollama does not recognise, BOS added by the tokenizer", lambda p:
                 write_text_model(p, title="Tiny Brackets", template="brackets", add_bos=True, bos=ENDOFTEXT)),
    "bert": ("BERT encoder, mean pooling, 64 dimensions, 64 tokens of context", write_bert),
    "lastpool": ("llama-shaped embedding model, last-token pooling, 64 dimensions", write_llama_embedder),
    "eye": ("CLIP projector for the scripted models: with an image they say 'A tiny picture.'", write_projector),
    "lora": ("LoRA adapter for the scripted models", write_lora),
}  # fmt: skip


def make(name: str, directory: Path) -> Path:
    """Write one model file (if it is not there yet) and return its path."""
    path = directory / f"{name}.gguf"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        MODELS[name][1](part)
        part.rename(path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if args[0] == "--list":
        for name, (what, _) in MODELS.items():
            print(f"{name:10} {what}")
        return 0
    for name in args[1:] or MODELS:
        path = make(name, Path(args[0]))
        print(f"{path.name:16} {path.stat().st_size:8} {sha256(path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
