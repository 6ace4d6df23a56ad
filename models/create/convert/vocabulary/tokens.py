"""A vocabulary as a GGUF file has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from models.create.convert.keys import Keys
from models.errors import CreateFailed

MAX_TOKENS: Final = 8 * 1024 * 1024
"""No vocabulary has more, and each is written out."""

UNDERSCORE: Final = "\u2581"
"""How SentencePiece writes a space."""


class TokenType(IntEnum):
    """What a token is (llama.h, llama_token_type; SentencePiece numbers its pieces alike)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(slots=True)
class Vocabulary:
    """Tokens by id. `model` and `pre` are llama.cpp's names for the tokenizer and for how it splits text first."""

    model: str
    pre: str
    tokens: list[str]
    types: list[TokenType]
    scores: list[float] | None = None

    @classmethod
    def unused(cls, model: str, pre: str, n_tokens: int, score: float | None) -> Vocabulary:
        """So many tokens that stand for nothing. Raises: CreateFailed for too many."""
        check_size(n_tokens)
        tokens = [f"[PAD{i}]" for i in range(n_tokens)]
        scores = None if score is None else [score] * n_tokens
        return cls(model, pre, tokens, [TokenType.UNUSED] * n_tokens, scores)

    def put(self, token_id: int, text: str, kind: TokenType, score: float = 0.0) -> None:
        """Say what a token is; ids that the model has no place for are left out."""
        if 0 <= token_id < len(self.tokens):
            self.tokens[token_id], self.types[token_id] = text, kind
            if self.scores is not None:
                self.scores[token_id] = score

    def write(self, keys: Keys) -> None:
        keys.text("tokenizer.ggml.model", self.model)
        keys.text("tokenizer.ggml.pre", self.pre)
        keys.array("tokenizer.ggml.tokens", self.tokens)
        if self.scores is not None:
            keys.array("tokenizer.ggml.scores", self.scores)
        keys.array("tokenizer.ggml.token_type", [int(kind) for kind in self.types])


def check_size(n_tokens: int) -> None:
    """Raises: CreateFailed."""
    if not 0 < n_tokens <= MAX_TOKENS:
        raise CreateFailed(f"a vocabulary of {n_tokens} tokens")


_CONTROL_TEXTS: Final = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
_CONTROL_ENDS: Final = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))


def looks_like_control(text: str) -> bool:
    """Whether a token that is not marked as special must be one all the same (command-r, deepseek-coder, gemma)."""
    return text in _CONTROL_TEXTS or any(text.startswith(a) and text.endswith(b) for a, b in _CONTROL_ENDS)


def added_type(text: str, *, special: bool) -> tuple[str, TokenType]:
    """Text and type of a token that was added to a vocabulary; users write spaces, not what stands for them."""
    if special or looks_like_control(text):
        return text, TokenType.CONTROL
    return text.replace(UNDERSCORE, " "), TokenType.USER_DEFINED


def check_texts(texts: Sequence[object]) -> None:
    """Raises: CreateFailed for a list that has other things than texts."""
    if not all(isinstance(text, str) for text in texts):
        raise CreateFailed("the tokenizer has a token that is not a text")
