"""Reads `tokenizer.model`, SentencePiece's file: a message of protocol buffers, of which we need little.

Source: sentencepiece_model.proto: ModelProto{1: pieces{1: text, 2: score, 3: type}, 2: trainer{3: model_type},
3: normalizer{2: precompiled_charsmap, 3: add_dummy_prefix, 4: remove_extra_whitespaces}}.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.vocabulary.tokens import TokenType, Vocabulary, added_type, check_size
from models.errors import CreateFailed

FILE: Final = "tokenizer.model"
ADDED_FILE: Final = "added_tokens.json"
CONFIG_FILE: Final = "tokenizer_config.json"

PAD_SCORE: Final = -10000.0
ADDED_SCORE: Final = -1000.0

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the vocabulary."""

    text: str
    score: float
    kind: TokenType


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """What a file says. `model_type`: 1 unigram, 2 byte pairs."""

    pieces: tuple[Piece, ...]
    model_type: int = 1
    charsmap: bytes = b""
    adds_prefix: bool = True
    removes_whitespace: bool = True


def read_model(raw: bytes) -> SentencePieceModel:
    """Raises: CreateFailed."""
    try:
        return _parse_model(raw)
    except (struct.error, IndexError, ValueError) as error:
        raise CreateFailed("invalid SentencePiece model") from error


def _parse_model(raw: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for number, value in _fields(raw):
        if number == 1:
            pieces.append(_parse_piece(_message(value)))
        elif number == 2:
            trainer |= _message(value)
        elif number == 3:
            normalizer |= _message(value)
    return SentencePieceModel(
        tuple(pieces),
        trainer.get(3, 1),
        bytes(normalizer.get(2, b"")),
        bool(normalizer.get(3, True)),
        bool(normalizer.get(4, True)),
    )


def _parse_piece(fields: dict[int, Any]) -> Piece:
    (score,) = struct.unpack("<f", fields[2]) if 2 in fields else (0.0,)
    return Piece(bytes(fields.get(1, b"")).decode(), score, TokenType(fields.get(3, TokenType.NORMAL)))


def _message(value: Any) -> dict[int, Any]:
    if not isinstance(value, memoryview):
        raise ValueError("a message was expected")
    return dict(_fields(value))


def _fields(raw: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer, or the bytes."""
    view = memoryview(raw)
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(view, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(view, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[wire] if wire in (_FIXED64, _FIXED32) else -1
        if size < 0 or at + size > len(view):
            raise ValueError("a field that does not fit")
        yield number, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number that is too long")


# ---- the vocabulary


def sentencepiece_vocabulary(files: Checkpoint, config: Config, n_tokens: int | None = None) -> Vocabulary:
    """The pieces, and what `added_tokens.json` and `tokenizer_config.json` add to or say of them.

    `n_tokens`: how many the model has; without, `vocab_size` or as many as there are pieces.
    Raises: CreateFailed.
    """
    model = read_model(files.raw(FILE))
    wanted = n_tokens or config.find_integer("vocab_size_per_layer_input", "vocab_size") or len(model.pieces)
    check_size(wanted)
    vocabulary = Vocabulary.unused("llama", "default", wanted, PAD_SCORE)
    for token_id, piece in enumerate(model.pieces):
        kind: TokenType = TokenType.NORMAL if piece.kind is TokenType.USER_DEFINED else piece.kind
        vocabulary.put(token_id, piece.text, kind, piece.score)
    for text, token_id in (files.json(ADDED_FILE) or {}).items():
        vocabulary.put(_token_id(token_id), text, TokenType.USER_DEFINED, ADDED_SCORE)
    for token_id, entry in described_tokens(files):
        text, kind = added_type(entry["content"], special=bool(entry.get("special")))
        vocabulary.put(token_id, text, kind, ADDED_SCORE)
    return vocabulary


def described_tokens(files: Checkpoint) -> Iterator[tuple[int, dict[str, Any]]]:
    """Ids and entries of `added_tokens_decoder` in `tokenizer_config.json`. Raises: CreateFailed."""
    entries = (files.json(CONFIG_FILE) or {}).get("added_tokens_decoder") or {}
    if not isinstance(entries, dict):
        raise CreateFailed(f"{CONFIG_FILE}: added_tokens_decoder is not an object")
    for token_id, entry in entries.items():
        if not token_id.isdecimal() or not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            raise CreateFailed(f"{CONFIG_FILE}: added_tokens_decoder has an entry that is not a token")
        yield int(token_id), entry


def _token_id(value: Any) -> int:
    if type(value) is not int:
        raise CreateFailed(f"{ADDED_FILE}: a token without an id")
    return value
