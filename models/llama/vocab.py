"""Text to tokens and back. A vocabulary never changes, so unlike a context it may be used from several threads."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.errors import InvalidToken
from models.llama.binding import lib
from models.llama.runs import LONGEST_RUN, cut_long_runs
from models.llama.specials import cut_after_specials, special_pattern

Tokens = npt.NDArray[np.int32]

_MAX_TEXT_BYTES = 2**31 - 1
_PIECE_BYTES = 256
_STRIPS_SPACE = lib.LLAMA_TOKEN_ATTR_RSTRIP
_MANY_CHARS = 16 * 1024
"""Shorter texts hold too few special tokens to be worth a look."""


class Vocab:
    """The tokenizer of a model; lives as long as the model."""

    def __init__(self, handle: object) -> None:
        self._handle = handle
        self.n_tokens = int(lib.llama_vocab_n_tokens(handle))
        self._pieces: list[bytes | None] = [None] * self.n_tokens
        self._raw_pieces: list[bytes | None] = [None] * self.n_tokens

    @property
    def handle(self) -> object:
        return self._handle

    @cached_property
    def adds_bos(self) -> bool:
        return bool(lib.llama_vocab_get_add_bos(self._handle))

    @cached_property
    def adds_eos(self) -> bool:
        return bool(lib.llama_vocab_get_add_eos(self._handle))

    @cached_property
    def _splits_by_regex(self) -> bool:
        return bool(lib.llama_vocab_type(self._handle) == lib.LLAMA_VOCAB_TYPE_BPE)

    @cached_property
    def _specials(self) -> re.Pattern[str] | None:
        """The tokens that are looked for in a text before it is split; None where a text must stay whole."""
        if lib.llama_vocab_type(self._handle) not in (lib.LLAMA_VOCAB_TYPE_BPE, lib.LLAMA_VOCAB_TYPE_SPM):
            return None
        kinds = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_USER_DEFINED | lib.LLAMA_TOKEN_ATTR_UNKNOWN
        attributes = ((token, lib.llama_vocab_get_attr(self._handle, token)) for token in range(self.n_tokens))
        return special_pattern(
            (lib.llama_vocab_get_text(self._handle, token).decode("utf-8", "replace"), bool(a & _STRIPS_SPACE))
            for token, a in attributes
            if a & kinds
        )

    @cached_property
    def bos(self) -> int | None:
        return _token_or_none(lib.llama_vocab_bos(self._handle))

    @cached_property
    def eos(self) -> int | None:
        return _token_or_none(lib.llama_vocab_eos(self._handle))

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Every token that ends a generation (end of sequence, of turn, of message …)."""
        is_eog = lib.llama_vocab_is_eog
        return frozenset(token for token in range(self.n_tokens) if is_eog(self._handle, token))

    @cached_property
    def suppressed(self) -> Tokens:
        """Tokens that the model's file forbids to sample."""
        n = ctypes.c_int32(0)
        first = lib.llama_vocab_get_suppress_tokens(self._handle, ctypes.byref(n))
        return np.array(first[: n.value] if n.value > 0 else [], dtype=np.int32)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> Tokens:
        """Tokens of a text, (n,) int32. Long texts take long: about a second for a few megabytes.

        Raises: ValueError for a text of 2 GiB and more.
        """
        parts = self._cut_at_specials(text) if parse_special and len(text) > _MANY_CHARS else [text]
        if self._splits_by_regex and len(text) > LONGEST_RUN:
            parts = [run for part in parts for run in cut_long_runs(part)]
        if len(parts) == 1:
            return self._tokenize(text, add_special=add_special, parse_special=parse_special)
        tokens = [self._tokenize(part, add_special=False, parse_special=parse_special) for part in parts]
        if add_special:
            first = [self.bos] if self.adds_bos and self.bos is not None else []
            last = [self.eos] if self.adds_eos and self.eos is not None else []
            tokens = [np.array(first, dtype=np.int32), *tokens, np.array(last, dtype=np.int32)]
        return np.concatenate(tokens)

    def _cut_at_specials(self, text: str) -> list[str]:
        return cut_after_specials(text, self._specials) if self._specials is not None else [text]

    def _tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokens:
        raw = text.encode("utf-8", "surrogatepass")
        if len(raw) > _MAX_TEXT_BYTES:
            raise ValueError("text too long to tokenize")
        n_room = len(raw) + 16
        while True:
            tokens = np.empty(n_room, dtype=np.int32)
            target = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
            n = lib.llama_tokenize(self._handle, raw, len(raw), target, n_room, add_special, parse_special)
            if n >= 0:
                return tokens[:n].copy()
            if n == -(2**31):
                raise ValueError("text too long to tokenize")
            n_room = -n

    def piece(self, token: int) -> bytes:
        """The bytes that a generated token stands for, perhaps half a character; nothing for control tokens."""
        known = self._pieces[token]
        if known is None:
            known = self._pieces[token] = self._read_piece(token, special=False)
        return known

    def raw_piece(self, token: int) -> bytes:
        """The bytes of a token, control tokens spelled out."""
        known = self._raw_pieces[token]
        if known is None:
            known = self._raw_pieces[token] = self._read_piece(token, special=True)
        return known

    def is_special(self, token: int) -> bool:
        """Whether text never spells this token: control, unknown and unused ones."""
        unspelled = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN | lib.LLAMA_TOKEN_ATTR_UNUSED
        return bool(lib.llama_vocab_get_attr(self._handle, token) & unspelled)

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        """The bytes of a list of tokens, control tokens spelled out. Raises: InvalidToken."""
        for token in tokens:
            if not 0 <= token < self.n_tokens:
                raise InvalidToken(token, self.n_tokens)
        return b"".join(map(self.raw_piece, tokens))

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        n = lib.llama_token_to_piece(self._handle, token, buffer, _PIECE_BYTES, 0, special)
        if n < 0:
            buffer = ctypes.create_string_buffer(-n)
            n = lib.llama_token_to_piece(self._handle, token, buffer, -n, 0, special)
        return buffer.raw[:n]


def _token_or_none(token: int) -> int | None:
    return None if token == -1 else int(token)
