"""The bytes of all tokens of a vocabulary, and which tokens may begin a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

_BLANKS = b" \t\n\r\v\f"


class Spelling(Protocol):
    """What is needed of a vocabulary."""

    @property
    def n_tokens(self) -> int: ...
    def raw_piece(self, token: int) -> bytes: ...


class Pieces:
    """Special tokens are spelled out. What takes long is computed once, and no earlier than it is needed."""

    def __init__(self, vocabulary: Spelling) -> None:
        self._vocabulary = vocabulary
        self._opening: dict[tuple[bytes, bool], npt.NDArray[np.intp]] = {}

    def __getitem__(self, token: int) -> bytes:
        return self._vocabulary.raw_piece(token)

    @cached_property
    def all(self) -> Sequence[bytes]:
        """By token. Takes a good part of a second the first time."""
        return [self._vocabulary.raw_piece(token) for token in range(self._vocabulary.n_tokens)]

    def knows(self, text: bytes, *, after_blanks: bool) -> bool:
        """Whether `that_open` has its answer ready."""
        return (text, after_blanks) in self._opening

    def that_open(self, text: bytes, *, after_blanks: bool) -> npt.NDArray[np.intp]:
        """The tokens that this text may begin with, and those that begin with it; white space before it or not."""
        key = (text, after_blanks)
        if key not in self._opening:
            found = [token for first in self._firsts(text, after_blanks) for token in self._by_first_byte[first]]
            pieces = ((token, self.all[token].lstrip() if after_blanks else self.all[token]) for token in found)
            fitting = [token for token, piece in pieces if piece.startswith(text) or text.startswith(piece)]
            self._opening[key] = np.array(sorted(fitting), dtype=np.intp)
        return self._opening[key]

    def _firsts(self, text: bytes, after_blanks: bool) -> set[int]:
        return {text[0], *_BLANKS} if after_blanks else {text[0]}

    @cached_property
    def _by_first_byte(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for token, piece in enumerate(self.all):
            if piece:
                found[piece[0]].append(token)
        return found
