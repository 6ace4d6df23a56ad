"""Vocabularies of T5's kind: SentencePiece's unigram model, as `tokenizer.json` has it."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.vocabulary.sentencepiece import PAD_SCORE
from models.create.convert.vocabulary.special_tokens import read_special_tokens, special_texts
from models.create.convert.vocabulary.tokenizer_json import read_tokenizer
from models.create.convert.vocabulary.tokens import TokenType, Vocabulary
from models.errors import CreateFailed


def add_unigrams(keys: Keys, files: Checkpoint, config: Config) -> None:
    """All keys of such a tokenizer. Raises: CreateFailed."""
    file = read_tokenizer(files)
    pieces = file.model.get("vocab")
    if not isinstance(pieces, list):
        raise CreateFailed("tokenizer.json: a unigram model without pieces")
    settings = files.json("tokenizer_config.json") or {}
    n_tokens = max(config.find_integer("vocab_size") or 0, len(pieces))
    vocabulary = Vocabulary.unused("t5", "default", n_tokens, PAD_SCORE)
    added = {token_id: token.content for token_id, token in file.tokenizer.get_added_tokens_decoder().items()}
    specials, unknown = special_texts(files), _unknown_id(file.model, added, settings)
    for token_id, piece in enumerate(pieces):
        text, score = _piece(piece)
        if token_id == unknown:
            kind = TokenType.UNKNOWN
        elif text in specials:
            kind = TokenType.CONTROL
        else:
            kind = TokenType.USER_DEFINED if token_id in added else TokenType.NORMAL
        vocabulary.put(token_id, text, kind, score)
    vocabulary.write(keys)
    keys.flag("tokenizer.ggml.add_space_prefix", settings.get("add_prefix_space") is True)
    keys.uint32("tokenizer.ggml.token_type_count", config.find_integer("type_vocab_size") or 1)
    keys.flag("tokenizer.ggml.remove_extra_whitespaces", bool(settings.get("clean_up_tokenization_spaces", False)))
    if charsmap := _charsmap(file.description.get("normalizer")):
        keys.octets("tokenizer.ggml.precompiled_charsmap", charsmap)
    read_special_tokens(files, n_vocab=n_tokens).write(keys)


def _unknown_id(model: Any, added: dict[int, str], settings: dict[str, Any]) -> Any:
    text = settings.get("unk_token")
    return next((token_id for token_id, content in added.items() if content == text), model.get("unk_id", 3))


def _piece(piece: Any) -> tuple[str, float]:
    if isinstance(piece, list) and len(piece) == 2 and isinstance(piece[0], str) and isinstance(piece[1], int | float):
        return piece[0], float(piece[1])
    raise CreateFailed("tokenizer.json: a piece without text or score")


def _charsmap(normalizer: Any) -> bytes:
    """How texts are normalised, in SentencePiece's own form."""
    steps = [normalizer, *(normalizer.get("normalizers") or [])] if isinstance(normalizer, dict) else []
    for step in steps:
        if isinstance(step, dict) and isinstance(encoded := step.get("precompiled_charsmap"), str):
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise CreateFailed("tokenizer.json: a precompiled_charsmap that is not base64") from error
    return b""
