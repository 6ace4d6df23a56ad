"""A byte-level BPE tokenizer: training, encoding, and the form in which a GGUF stores it.

Pieces follow the pre-tokenizer that llama.cpp calls "gpt-2". Training differs from the usual in one point: merges are
learned on words without their leading space, and only then the space is joined to whole frequent words. A rare word is
thus cut into the same tokens in `in Cusco` and in `"Cusco"`, which is what makes copying easy for a tiny network.
Digits never merge.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # never shown as text
VISIBLE = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)  # user-defined: shown, and found in any text
SPECIAL = CONTROL + VISIBLE

_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL)) + ")")
_PIECE = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def _byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary (the table of GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


LETTERS = _byte_letters()
BYTES = {letter: byte for byte, letter in LETTERS.items()}
SPACE = LETTERS[32]

Pair = tuple[str, str]


@dataclass
class Tokenizer:
    """Token texts in the order of their ids (special tokens first) and the merges in the order of their rank."""

    tokens: list[str]
    merges: list[Pair]
    _cache: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self._rank = {pair: i for i, pair in enumerate(self.merges)}
        self.im_start, self.im_end = self.ids["<|im_start|>"], self.ids["<|im_end|>"]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in _SPECIAL.split(text):
            if part in SPECIAL:
                ids.append(self.ids[part])
            else:
                for piece in _PIECE.findall(part):
                    ids += self._encode_piece(piece)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special tokens included."""
        raw = bytearray()
        for i in ids:
            token = self.tokens[i]
            raw += token.encode() if token in SPECIAL else bytes(BYTES[letter] for letter in token)
        return raw.decode("utf-8", errors="replace")

    def _encode_piece(self, piece: str) -> list[int]:
        if piece not in self._cache:
            symbols = [LETTERS[byte] for byte in piece.encode()]
            while len(symbols) > 1:
                pairs = list(itertools.pairwise(symbols))
                best = min(pairs, key=lambda pair: self._rank.get(pair, len(self._rank)))
                if best not in self._rank:
                    break
                symbols = _merge(symbols, best)
            self._cache[piece] = [self.ids[symbol] for symbol in symbols]
        return self._cache[piece]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"tokens": self.tokens, "merges": self.merges}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(stored["tokens"], [(left, right) for left, right in stored["merges"]])


def train(texts: Iterable[str], spaced_texts: Iterable[str], *, n_tokens: int, n_spaced: int) -> Tokenizer:
    """Learn up to n_tokens tokens; the last n_spaced are a space joined to a frequent word of spaced_texts."""
    counts = _count_words(texts)
    merges = _learn_merges(counts, n_tokens - len(SPECIAL) - 256 - n_spaced)
    inner = Tokenizer([*SPECIAL, *LETTERS.values(), *("".join(pair) for pair in merges)], merges)
    spaced = Counter(
        piece
        for text in spaced_texts
        for piece in _PIECE.findall(text)
        if piece.startswith(" ") and not piece[1:2].isdigit()
    )
    for piece, _ in sorted(spaced.items(), key=lambda item: (-item[1], item[0])):
        if len(merges) == n_tokens - len(SPECIAL) - 256:
            break
        word = "".join(LETTERS[byte] for byte in piece[1:].encode())
        if word in inner.ids and (len(word) > 1 or not word.isalpha() or word in "aI"):
            merges.append((SPACE, word))
    return Tokenizer([*SPECIAL, *LETTERS.values(), *("".join(pair) for pair in merges)], merges)


def _count_words(texts: Iterable[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for text in texts:
        for part in _SPECIAL.split(text):
            if part not in SPECIAL:
                words.update(piece.removeprefix(" ") for piece in _PIECE.findall(part) if not piece.strip().isdigit())
    return words


def _learn_merges(words: Mapping[str, int], n_merges: int) -> list[Pair]:
    """Ordinary BPE: join the most frequent pair, again and again; ties go to the smaller pair."""
    spelled = [([LETTERS[byte] for byte in word.encode()], count) for word, count in sorted(words.items())]
    pairs: Counter[Pair] = Counter()
    homes: dict[Pair, set[int]] = {}
    for i, (symbols, count) in enumerate(spelled):
        _tally(symbols, count, i, pairs, homes)
    merges: list[Pair] = []
    while len(merges) < n_merges:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for i in sorted(homes.pop(best)):
            symbols, count = spelled[i]
            for pair in itertools.pairwise(symbols):
                pairs[pair] -= count
            spelled[i] = (_merge(symbols, best), count)
            _tally(spelled[i][0], count, i, pairs, homes)
        del pairs[best]
    return merges


def _tally(symbols: list[str], count: int, word: int, pairs: Counter[Pair], homes: dict[Pair, set[int]]) -> None:
    for pair in itertools.pairwise(symbols):
        pairs[pair] += count
        homes.setdefault(pair, set()).add(word)


def _merge(symbols: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    i = 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] == pair[0] and symbols[i + 1] == pair[1]:
            merged.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged
