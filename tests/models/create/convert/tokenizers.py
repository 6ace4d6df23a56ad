"""Tiny tokenizers of every kind, as their authors would publish them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = ("he", "ll", "lo", "wo", "rl", "Ġh", "Ġw")


def byte_letters() -> list[str]:
    """GPT-2's letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [letters[b] for b in range(256)]


def byte_pair_tokenizer(
    regex: str = LLAMA3, specials: tuple[str, ...] = ("<|begin|>", "<|end|>"), template: bool = False, **settings: Any
) -> Callable[[Path, dict[str, Any]], None]:
    """A tokenizer of byte pairs; the first special token is BOS, the second EOS."""

    def write(directory: Path, config: Mapping[str, Any]) -> None:
        texts = [*byte_letters(), *WORDS]
        vocab = {text: i for i, text in enumerate(texts)}
        merges = [[text[:1], text[1:]] for text in WORDS]
        added = [
            {"id": len(texts) + i, "content": text, "special": True, "normalized": False, "single_word": False,
             "lstrip": False, "rstrip": False}
            for i, text in enumerate(specials)
        ]  # fmt: skip
        added.append({**added[0], "id": len(texts) + len(specials), "content": "<tool>", "special": False})
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        start = {"SpecialToken": {"id": specials[0], "type_id": 0}}
        processor: dict[str, Any] = byte_level
        if template:
            processor = {
                "type": "TemplateProcessing",
                "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [
                    start,
                    {"Sequence": {"id": "A", "type_id": 0}},
                    start,
                    {"Sequence": {"id": "B", "type_id": 1}},
                ],
                "special_tokens": {specials[0]: {"id": specials[0], "ids": [len(texts)], "tokens": [specials[0]]}},
            }
        tokenizer = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            "post_processor": processor, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": merges},
        }  # fmt: skip
        (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
        own = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": specials[0], "eos_token": specials[1]}
        (directory / "tokenizer_config.json").write_text(json.dumps(own | settings))

    return write


def sentencepiece_tokenizer(n_letters: int = 40, **settings: Any) -> Callable[[Path, dict[str, Any]], None]:
    """`tokenizer.model` with bytes, letters and some added tokens."""

    def write(directory: Path, config: Mapping[str, Any]) -> None:
        (directory / "tokenizer.model").write_bytes(sentencepiece_model(n_letters))
        own = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
        (directory / "tokenizer_config.json").write_text(json.dumps(own | settings))

    return write


def sentencepiece_model(n_letters: int) -> bytes:
    pieces: list[tuple[str, float, int]] = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<user>", 0.0, 4)]
    pieces += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    pieces += [("\u2581", -1.0, 1)] + [(chr(ord("A") + i), -2.0 - i, 1) for i in range(n_letters)]
    out = bytearray()
    for text, score, kind in pieces:
        body = _bytes_field(1, text.encode()) + bytes([0x15]) + struct.pack("<f", score) + _int_field(3, kind)
        out += _bytes_field(1, body)
    out += _bytes_field(2, _int_field(3, 2) + _int_field(35, 1))
    out += _bytes_field(3, _bytes_field(1, b"identity") + _int_field(3, 1) + _int_field(4, 0) + _int_field(5, 1))
    return bytes(out)


N_SENTENCE_PIECES = 4 + 256 + 1 + 40


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _int_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def word_tokenizer(directory: Path, config: Mapping[str, Any]) -> None:
    """BERT's kind: whole words and parts of words."""
    texts = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##lo", "world", "##s", *"abcdefghij", "."]
    added = [
        {"id": i, "content": text, "special": True, "normalized": False, "single_word": False, "lstrip": False,
         "rstrip": False}
        for i, text in enumerate(texts[:5])
    ]  # fmt: skip
    cls, sep = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    tokenizer = {
        "version": "1.0", "added_tokens": added,
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": [cls, {"Sequence": {"id": "A", "type_id": 0}}, sep],
                           "pair": [cls, {"Sequence": {"id": "A", "type_id": 0}}, sep,
                                    {"Sequence": {"id": "B", "type_id": 1}}, sep],
                           "special_tokens": {t: {"id": t, "ids": [texts.index(t)], "tokens": [t]}
                                              for t in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {text: i for i, text in enumerate(texts)}},
    }  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "unk_token": "[UNK]", "sep_token": "[SEP]",
                "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}  # fmt: skip
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def unigram_tokenizer(directory: Path, config: Mapping[str, Any]) -> None:
    """XLM-RoBERTa's kind."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces: list[list[Any]] = [[text, 0.0] for text in specials]
    pieces += [[f"\u2581{letter}", -1.5 - i] for i, letter in enumerate("abcdefgh")]
    pieces += [[letter, -10.25 - i] for i, letter in enumerate("abcdefghijklmno")] + [["<mask>", 0.0]]
    added = [
        {"id": i, "content": text, "special": True, "normalized": False, "single_word": False,
         "lstrip": text == "<mask>", "rstrip": False}
        for i, (text, _) in enumerate(pieces) if text in (*specials, "<mask>")
    ]  # fmt: skip
    start, end = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}
    first, second = ({"Sequence": {"id": letter, "type_id": 0}} for letter in "AB")
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap()},
        "pre_tokenizer": metaspace, "decoder": metaspace,
        "post_processor": {"type": "TemplateProcessing", "single": [start, first, end],
                           "pair": [start, first, end, end, second, end],
                           "special_tokens": {t: {"id": t, "ids": [specials.index(t)], "tokens": [t]}
                                              for t in ("<s>", "</s>")}},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
    }  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>",
                "clean_up_tokenization_spaces": True}  # fmt: skip
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def charsmap() -> str:
    """SentencePiece's form of a map that changes nothing: the size of its tree, one empty node, no texts."""
    return base64.b64encode(struct.pack("<I", 4) + struct.pack("<I", 0)).decode()


def fallback_tokenizer(directory: Path, config: Mapping[str, Any]) -> None:
    """A SentencePiece model as `tokenizer.json` has it: byte pairs that fall back to bytes."""
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "\u2581", *"abcdef", "ab", "\u2581a"]
    added = [
        {"id": i, "content": text, "special": True, "normalized": False, "single_word": False, "lstrip": False,
         "rstrip": False}
        for i, text in enumerate(texts[:3])
    ]  # fmt: skip
    for text in ("<|tool_call>", "<|other>"):
        added.append({**added[0], "id": len(texts) + len(added) - 3, "content": text, "special": False})
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {text: i for i, text in enumerate(texts)}, "merges": [["a", "b"], ["\u2581", "a"]]},
    }  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                "unk_token": "<unk>"}  # fmt: skip
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
