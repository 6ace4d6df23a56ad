"""The tokens of a vocabulary that a grammar may name."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.sampling.constraint_errors import GrammarError

_LARK = re.compile(r'"(?:[^"\\\n]|\\.)*"|/(?!/)(?:[^/\\\n]|\\.)+/|//.*|#.*|(?P<name><(?!\[)[^<>\s"]*>)')
"""Strings, expressions and comments, to pass over, and names of tokens."""


class Vocabulary(Protocol):
    """What is needed of one."""

    @property
    def n_tokens(self) -> int: ...
    @property
    def end_tokens(self) -> Collection[int]: ...
    def raw_piece(self, token: int) -> bytes: ...
    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> npt.NDArray[np.int32]: ...


class NamedTokens:
    """Tokens by name or number. Source: llama.cpp, llama-grammar.cpp: parse_token, llama_grammar_apply_impl."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.n_tokens = vocabulary.n_tokens
        self._vocabulary = vocabulary

    def find(self, text: str) -> int | None:
        """The one token that a text is."""
        tokens = self._vocabulary.tokenize(text, add_special=False)
        return int(tokens[0]) if len(tokens) == 1 else None

    def is_sayable(self, token: int) -> bool:
        """Whether it may stand within a reply: it has a text, and does not end it."""
        return token not in self._vocabulary.end_tokens and self._vocabulary.raw_piece(token)[:1] not in (b"", b"\0")

    @cached_property
    def sayable(self) -> frozenset[int]:
        """All that may. Takes a good part of a second the first time."""
        return frozenset(token for token in range(self.n_tokens) if self.is_sayable(token))


def number_tokens(lark: str, tokens: NamedTokens) -> str:
    """A grammar in Lark with the numbers of the tokens in place of their names, and all else where it was, if it can.

    llguidance knows the names of control tokens only, and a trial in another process none at all. Raises: GrammarError.
    """

    def number(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return found[0]
        token = tokens.find(name)
        if token is None:
            raise GrammarError(lark, found.start(), f"{name} is no single token of this model")
        return f"<[{token}]>".ljust(len(name))

    return _LARK.sub(number, lark)
