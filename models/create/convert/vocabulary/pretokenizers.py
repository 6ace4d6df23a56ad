"""How a byte-pair tokenizer splits text before it merges: llama.cpp knows each way by a name.

`pretokenizers.json` has upstream's table (conversion/base.py, get_vocab_base_pre): the ids that a tokenizer makes of
one fixed text, hashed, give the name. A tokenizer whose vocabulary is not in that table is known by its expressions.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

log = logging.getLogger(__name__)

DEFAULT: Final = "default"
BYTE_LEVEL: Final = "gpt-2"
"""The way of the ByteLevel pre-tokenizer with its own expression."""


@dataclass(frozen=True, slots=True)
class _Table:
    text: str
    by_ids: Mapping[str, str]
    by_splits: Mapping[str, str]


@cache
def _table() -> _Table:
    return _Table(**json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")))


def pretokenizer_name(tokenizer: Tokenizer, description: Mapping[str, Any]) -> str:
    """The name for a tokenizer; `description` is its `tokenizer.json`."""
    table = _table()
    for with_special in (True, False):  # what stands around a text is not always in tokenizer.json itself
        ids = tokenizer.encode(table.text, add_special_tokens=with_special).ids
        if name := table.by_ids.get(_digest(str(ids))):
            return name
    return _name_by_splits(description)


def _name_by_splits(description: Mapping[str, Any]) -> str:
    """# Compat: registry-store-cli 6.6: the digest over all expressions, one behind the other."""
    steps = list(_steps(description.get("pre_tokenizer")))
    texts = [step["pattern"].get("Regex") for step in steps if step.get("type") == "Split"]
    splits = "".join(text for text in texts if isinstance(text, str))
    if name := _table().by_splits.get(_digest(splits)):
        return name
    if not splits and any(step.get("type") == "ByteLevel" and step.get("use_regex", True) for step in steps):
        return BYTE_LEVEL
    log.warning("the pre-tokenizer is not a known one: its text is split in the default way")
    return DEFAULT


def _steps(step: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(step, dict):
        yield step
        for inner in step.get("pretokenizers") or ():
            yield from _steps(inner)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
