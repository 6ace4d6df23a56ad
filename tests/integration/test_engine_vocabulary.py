"""A long text has the same tokens cut and whole, in every kind of vocabulary; a file may lie about its context."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from models.llama.binding import start_backends
from models.llama.logs import native_log
from models.llama.model import Model
from tests.conformance import make_models

pytestmark = pytest.mark.model

CHAT = "<|im_start|>user\nhello  there<|im_end|>\n" * 1500
WORDS = "plan  count\n\n both" * 2500
ONLY_SPECIALS = "<|im_start|>" * 4000


def load(path: Path) -> Model:
    native_log.install()
    start_backends()
    return Model(str(path), n_gpu_layers=0, main_gpu=None, use_mmap=True, on_progress=lambda fraction: True)


@pytest.mark.parametrize("name", ["chatml", "brackets", "bert"])
def test_a_long_text_has_the_same_tokens_cut_and_whole(name: str, tmp_path: Path) -> None:
    vocab = load(make_models.make(name, tmp_path)).vocab
    for text in (CHAT, WORDS, ONLY_SPECIALS):
        for add_special in (True, False):
            whole = vocab._tokenize(text, add_special=add_special, parse_special=True)
            assert np.array_equal(vocab.tokenize(text, add_special=add_special), whole)


def test_a_context_that_32_bits_cannot_hold_counts_as_unknown(tmp_path: Path) -> None:
    key = b"llama.context_length" + struct.pack("<I", 4)  # its type: uint32
    content = make_models.make("chatml", tmp_path).read_bytes()
    assert content.count(key) == 1
    at = content.index(key) + len(key)
    lying = tmp_path / "lying.gguf"
    lying.write_bytes(content[:at] + b"\xff" * 4 + content[at + 4 :])
    assert load(lying).n_ctx_train == 0
