"""The scripted test network: hand-chosen weights of an ordinary one-layer llama that say what scripts.py says.

The replies are the same for every temperature, seed, thread count and CPU (a margin of about 20 logits or more), and
yet come out of a real forward pass, a real sampler and a real detokenizer. Width 256, one attention layer, feed-forward
weights all zero:
  * Every script piece owns one "one-hot" dimension; the output row of its successor reads that dimension.
  * Each trigger owns one dimension. Attention gives a trigger token a score of 9 and everything else 0, and copies the
    trigger's dimension into a feature dimension; the output row of the script's first piece reads that feature.
  * All tokens that are not script pieces carry a flag; the default script's first piece reads it. A gain per trigger
    orders them when several are present (a tool result beats the question before it).
  * A hash-made noise subspace gives all other tokens distinct small logits, so that nothing is an exact tie.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import gguf
import numpy as np

from tests.conformance.scripts import DISTRIBUTIONS, SCRIPTS, Script

# --------------------------------------------------------------------------------------------------------------------
# Noise and text helpers


def noise(seed: int, *shape: int) -> np.ndarray:
    """Uniform float32 noise with unit variance, a pure function of seed and position (splitmix64)."""
    with np.errstate(over="ignore"):
        z = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed) * np.uint64(0x1_0000_0001)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float64) / 2**24  # 24 bits, exact in float32
    return np.asarray((unit * 2 - 1) * np.sqrt(3), np.float32).reshape(shape)


def unit_rows(seed: int, rows: int, width: int) -> np.ndarray:
    x = noise(seed, rows, width)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def _byte_alphabet() -> dict[int, str]:
    """The byte → printable character map of byte-level BPE vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(extra)}


ALPHABET = _byte_alphabet()


def spell(piece: str | bytes) -> str:
    """Spell raw bytes the way a byte-level BPE vocabulary does."""
    raw = piece.encode() if isinstance(piece, str) else piece
    return "".join(ALPHABET[b] for b in raw)


# --------------------------------------------------------------------------------------------------------------------
# Vocabulary of the text models

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ENDOFTEXT, IM_START, IM_END = range(3)
MERGES = (
    "t h",
    "i n",
    "e r",
    "a n",
    "o n",
    "r e",
    "Ġ t",
    "Ġ a",
    "o u",
    "i s",
    "a t",
    "e n",
    "Ġ w",
    "l l",
    "Ġ s",
    "e s",
    "Ġth e",
    "in g",
)


@dataclass
class Vocabulary:
    """Token texts with their GGUF types, and which ids are script pieces or triggers."""

    texts: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    piece_ids: dict[str | bytes, int] = field(default_factory=dict)
    trigger_ids: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, kind: gguf.TokenType) -> int:
        assert text not in self.texts, f"token text used twice: {text!r}"
        self.texts.append(text)
        self.types.append(int(kind))
        return len(self.texts) - 1

    def ids_of(self, script: Script) -> list[int]:
        return [self.piece_ids[p] for p in script.pieces]


def build_vocabulary() -> Vocabulary:
    v = Vocabulary()
    for text in CONTROL:
        v.add(text, gguf.TokenType.CONTROL)
    for b in range(256):
        v.add(ALPHABET[b], gguf.TokenType.NORMAL)
    for merge in MERGES:
        v.add(merge.replace(" ", ""), gguf.TokenType.NORMAL)
    for script in SCRIPTS:
        if script.trigger is not None:
            v.trigger_ids[script.name] = v.add(script.trigger, gguf.TokenType.USER_DEFINED)
    for piece in _all_pieces():
        v.piece_ids[piece] = v.add(spell(piece), gguf.TokenType.NORMAL)
    while len(v.texts) % 32:
        v.add(f"<unused{len(v.texts)}>", gguf.TokenType.UNUSED)
    return v


def _all_pieces() -> Iterable[str | bytes]:
    for script in SCRIPTS:
        yield from script.pieces
    for faces, _ in DISTRIBUTIONS.values():
        yield from faces


# --------------------------------------------------------------------------------------------------------------------
# The scripted network

WIDTH, HEAD, N_HEAD, N_KV, N_FF = 256, 64, 4, 2, 256
BIAS, FLAG, TRIGGER0, FEATURE0, ONEHOT0, NOISE0 = 0, 1, 2, 34, 66, 200
N_FEATURES, N_ONEHOT, N_NOISE = FEATURE0 - TRIGGER0, NOISE0 - ONEHOT0, WIDTH - NOISE0
NORM2 = 6.0  # squared length of every embedding, so that the RMS norm scales all of them by SCALE
SCALE = np.sqrt(WIDTH / NORM2)
SCORE_DIM = HEAD - 2  # lowest rotary frequency: position does not matter there
READ_NEXT, READ_START, READ_FEATURE = 16.0, 3.1, 12.0  # logits of about 200, 20 and 75
ATTENTION_SCORE = 9.0


def scripted_tensors(v: Vocabulary) -> dict[str, np.ndarray]:
    """Weights of the scripted network, float32, by GGUF tensor name."""
    embed, output = embeddings(v), _output_rows(v)
    q, k = np.zeros((WIDTH, WIDTH), np.float32), np.zeros((N_KV * HEAD, WIDTH), np.float32)
    val, out = np.zeros((N_KV * HEAD, WIDTH), np.float32), np.zeros((WIDTH, WIDTH), np.float32)
    trigger_value = np.sqrt(3.0)
    q[SCORE_DIM, BIAS] = 1.0
    k[SCORE_DIM, TRIGGER0 : TRIGGER0 + N_FEATURES] = ATTENTION_SCORE * np.sqrt(HEAD) / (SCALE * SCALE * trigger_value)
    for i, script in enumerate(_triggered()):
        val[i, TRIGGER0 + i] = 1.0 / (SCALE * trigger_value)
        out[FEATURE0 + i, i] = script.gain
    ones = np.ones(WIDTH, np.float32)
    return {
        "token_embd.weight": embed,
        "output_norm.weight": ones,
        "output.weight": output,
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.attn_q.weight": q,
        "blk.0.attn_k.weight": k,
        "blk.0.attn_v.weight": val,
        "blk.0.attn_output.weight": out,
        "blk.0.ffn_gate.weight": np.zeros((N_FF, WIDTH), np.float32),
        "blk.0.ffn_up.weight": np.zeros((N_FF, WIDTH), np.float32),
        "blk.0.ffn_down.weight": np.zeros((WIDTH, N_FF), np.float32),
    }


def _triggered() -> list[Script]:
    return [s for s in SCRIPTS if s.trigger is not None]


def _onehot(v: Vocabulary, token: int) -> int:
    return ONEHOT0 + token - min(v.piece_ids.values())


def embeddings(v: Vocabulary) -> np.ndarray:
    n = len(v.texts)
    e = np.zeros((n, WIDTH), np.float32)
    fuzz = unit_rows(1, n, N_NOISE)
    e[:, BIAS] = 1.0
    e[:, FLAG] = 1.0
    length2 = np.full(n, NORM2 - 2.0)
    for i, script in enumerate(_triggered()):
        token = v.trigger_ids[script.name]
        e[token, TRIGGER0 + i] = np.sqrt(3.0)
        length2[token] = NORM2 - 5.0
    assert len(v.piece_ids) <= N_ONEHOT and len(v.trigger_ids) <= N_FEATURES
    for token in v.piece_ids.values():
        e[token, FLAG] = 0.0
        e[token, _onehot(v, token)] = 2.0
        length2[token] = NORM2 - 5.0
    e[:, NOISE0:] = fuzz * np.sqrt(length2)[:, None]
    return e


def _output_rows(v: Vocabulary) -> np.ndarray:
    rows = np.zeros((len(v.texts), WIDTH), np.float32)
    rows[:, NOISE0:] = noise(2, len(v.texts), N_NOISE) * np.float32(0.03)
    feature = {s.name: FEATURE0 + i for i, s in enumerate(_triggered())}
    for script in SCRIPTS:
        ids = v.ids_of(script)
        first = ids[0] if ids else IM_END
        if script.trigger is not None:
            rows[first, feature[script.name]] = READ_FEATURE
        elif script.name == "default":
            rows[first, FLAG] = READ_START
        for here, following in pairwise(ids):
            rows[following, _onehot(v, here)] = READ_NEXT
        if ids and script.pieces[-1] not in DISTRIBUTIONS:
            rows[ids[0] if script.loop else IM_END, _onehot(v, ids[-1])] = READ_NEXT
    for state, (faces, then) in DISTRIBUTIONS.items():
        for face, logprob in faces.items():
            rows[v.piece_ids[face], _onehot(v, v.piece_ids[state])] = READ_NEXT + logprob / (2 * SCALE)
            rows[v.piece_ids[then] if then else IM_END, _onehot(v, v.piece_ids[face])] = READ_NEXT
    return rows
