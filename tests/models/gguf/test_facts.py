from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.gguf.facts import GGUFFacts, facts_of
from models.gguf.reader import read_gguf
from models.gguf.values import ValueType
from tests.fakes.gguf_file import gguf_bytes, llama_bytes

Facts = Callable[[bytes], GGUFFacts]


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    def of(content: bytes) -> GGUFFacts:
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        return facts_of(read_gguf(path), path)

    return of


def test_a_text_model_says_what_it_is(facts: Facts) -> None:
    found = facts(llama_bytes(tokenizer__chat_template="{{ messages }}"))
    assert (found.architecture, found.file_type, found.n_ctx_train, found.n_vocab) == ("llama", 1, 2048, 4)
    assert (found.n_layer, found.n_embd, found.n_ff, found.n_head) == (2, 64, 128, 4)
    assert (found.parameter_count, found.shared_bytes, found.weights_bytes) == (8448, 512, 16896)
    assert (found.bos_token, found.eos_token, found.add_bos) == ("<s>", "</s>", None)
    assert (found.chat_template, found.is_embedding, found.has_vision) == ("{{ messages }}", False, False)


def test_a_file_that_says_nothing_has_empty_facts(facts: Facts) -> None:
    found = facts(gguf_bytes({}))
    assert found == GGUFFacts(size_bytes=24)


def test_lookups_are_by_exact_type(facts: Facts) -> None:
    """Compat: registry-store-cli 10.1."""
    assert facts(llama_bytes(llama__context_length=(ValueType.UINT64, 2048))).n_ctx_train == 0


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({"tokenizer.ggml.model": "llama"}, ("b", "c")),
        ({"tokenizer.ggml.model": "bert"}, ("", "")),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.eos_token_id": 0}, ("b", "a")),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.eos_token_id": 99}, ("b", "")),
    ],
)
def test_special_tokens_have_defaults_by_tokenizer(
    facts: Facts, changes: dict[str, Any], tokens: tuple[str, str]
) -> None:
    found = facts(gguf_bytes({"tokenizer.ggml.tokens": ["a", "b", "c"]} | changes))
    assert (found.bos_token, found.eos_token) == tokens


@pytest.mark.parametrize(
    ("metadata", "is_raw"),
    [
        ({"general.architecture": "llama", "llama.pooling_type": 3}, False),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "bert"}, False),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "t5"}, True),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "bert", "bert.normalize_embeddings": False}, True),
        ({"general.architecture": "nomic-bert"}, True),
        ({"general.architecture": "nomic-bert-moe", "nomic-bert-moe.normalize_embeddings": True}, False),
    ],
)
def test_some_embedding_models_are_not_normalised(facts: Facts, metadata: dict[str, Any], is_raw: bool) -> None:
    assert facts(gguf_bytes(metadata)).has_raw_embeddings is is_raw
