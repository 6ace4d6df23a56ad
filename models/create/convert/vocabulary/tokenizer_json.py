"""Vocabularies from `tokenizer.json` (byte pairs, WordPiece) and from BERT's `vocab.txt`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenizers import Tokenizer

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.vocabulary.pretokenizers import pretokenizer_name
from models.create.convert.vocabulary.tokens import (
    UNDERSCORE,
    TokenType,
    Vocabulary,
    added_type,
    check_size,
    check_texts,
)
from models.errors import CreateFailed

FILE: Final = "tokenizer.json"
WORDS_FILE: Final = "vocab.txt"
WORD_SPECIALS: Final = ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")
BERT_PRE: Final = "jina-v2-en"
"""What upstream's table has for the vocabulary of BERT, uncased, in any of its copies."""

ADDED_SCORE: Final = -1000.0
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """`tokenizer.json` twice: as what it says, and as what it does."""

    description: Mapping[str, Any]
    tokenizer: Tokenizer

    @property
    def model(self) -> Mapping[str, Any]:
        model = self.description.get("model")
        return model if isinstance(model, dict) else {}

    @property
    def model_type(self) -> str:
        # Older files do not name it; only byte pairs have merges.
        return str(self.model.get("type") or ("BPE" if "merges" in self.model else "WordPiece"))


def read_tokenizer(files: Checkpoint) -> TokenizerFile:
    """Raises: CreateFailed."""
    description = files.json(FILE)
    if description is None:
        raise CreateFailed("unknown tokenizer format")  # Compat: registry-store-cli 6.6
    try:
        tokenizer = Tokenizer.from_str(files.text(FILE))
    except Exception as error:  # the library has no class of its own for what is wrong with a file
        raise CreateFailed(f"{FILE}: {error}") from error
    tokenizer.no_truncation()  # which the file may ask for
    tokenizer.no_padding()
    return TokenizerFile(description, tokenizer)


def byte_pair_vocabulary(files: Checkpoint, config: Config) -> Vocabulary:
    """The tokens of a tokenizer of byte pairs, or of words, as they stand in the file. Raises: CreateFailed."""
    file = read_tokenizer(files)
    tokens = file.tokenizer.get_vocab(with_added_tokens=True)
    n_tokens = config.find_integer("vocab_size") or len(tokens)
    check_size(n_tokens)
    if tokens and max(tokens.values()) >= n_tokens:
        raise CreateFailed(f"the tokenizer has more tokens than the model, which has {n_tokens}")
    vocabulary = Vocabulary.unused("gpt2", pretokenizer_name(file.tokenizer, file.description), n_tokens, None)
    for text, token_id in tokens.items():
        vocabulary.put(token_id, text, TokenType.NORMAL)
    for token_id, added in file.tokenizer.get_added_tokens_decoder().items():
        text = added.content if added.normalized else _through(file.tokenizer, added.content)
        vocabulary.put(token_id, *added_type(text, special=added.special))
    return vocabulary


def _through(tokenizer: Tokenizer, text: str) -> str:
    """A text as it comes out of the tokenizer again: llama.cpp looks for added tokens in text that is normalised."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return str(tokenizer.decode(ids, skip_special_tokens=False))


def is_sentencepiece_like(file: TokenizerFile) -> bool:
    """Whether a tokenizer of byte pairs is a SentencePiece model in other clothes, as that of Llama 2 is."""
    decoder = file.description.get("decoder")
    is_sequence = isinstance(decoder, dict) and decoder.get("type") == "Sequence"
    return file.model_type == "BPE" and bool(file.model.get("byte_fallback")) and is_sequence


def sentencepiece_like_vocabulary(files: Checkpoint, specials: frozenset[str]) -> Vocabulary:
    """The tokens of such a tokenizer; `specials` are the texts of those that are special. Raises: CreateFailed."""
    file = read_tokenizer(files)
    n_base = file.tokenizer.get_vocab_size(with_added_tokens=False)
    by_id = {token_id: text for text, token_id in file.tokenizer.get_vocab(with_added_tokens=True).items()}
    n_tokens = max(by_id, default=-1) + 1
    check_size(n_tokens)
    vocabulary = Vocabulary.unused("llama", "default", n_tokens, ADDED_SCORE)
    for token_id, text in by_id.items():
        vocabulary.put(token_id, text, _type_of(text, specials, is_added=token_id >= n_base), ADDED_SCORE)
    return vocabulary


def _type_of(text: str, specials: frozenset[str], *, is_added: bool) -> TokenType:
    if _BYTE.fullmatch(text) and not is_added:
        return TokenType.BYTE
    if text in specials:
        return TokenType.CONTROL
    return TokenType.USER_DEFINED if is_added else TokenType.NORMAL


# ---- words


def word_vocabulary(files: Checkpoint, config: Config) -> Vocabulary:
    """The words and parts of words of BERT, in llama.cpp's spelling. Raises: CreateFailed."""
    vocabulary = byte_pair_vocabulary(files, config) if files.has(FILE) else _listed_words(files, config)
    vocabulary.model = "bert"
    vocabulary.tokens = [_respelled(t, kind) for t, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)]
    return vocabulary


def _respelled(text: str, kind: TokenType) -> str:
    """What begins a word is marked, not what goes on with one."""
    if kind is TokenType.CONTROL:
        return text
    return text[2:] if text.startswith("##") else UNDERSCORE + text


def _listed_words(files: Checkpoint, config: Config) -> Vocabulary:
    if not files.has(WORDS_FILE):
        raise CreateFailed("unknown tokenizer format")
    words = files.text(WORDS_FILE).rstrip("\n").split("\n")
    check_texts(words)
    vocabulary = Vocabulary.unused("bert", BERT_PRE, config.find_integer("vocab_size") or len(words), None)
    for token_id, word in enumerate(words):
        kind = TokenType.CONTROL if word in WORD_SPECIALS else TokenType.NORMAL
        vocabulary.put(token_id, word.rstrip("\r"), kind)
    return vocabulary
