from __future__ import annotations

import pytest

from tools.pico.tokenizer import SPECIAL, Tokenizer, train

TEXTS = ["the weather in Paris is good, the weather in Rome is better", '{"city": "Paris", "n": 1234}'] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(TEXTS, TEXTS, n_tokens=len(SPECIAL) + 256 + 40, n_spaced=10)


@pytest.mark.parametrize(
    "text",
    [
        "the weather",
        "  two  spaces\n\n\tand tabs ",
        "Zürich — 日本語 🙂",
        "a_b-c(1234.5) don't",
        "<think>\n\n</think> x",
        "",
    ],
)
def test_decoding_gives_back_what_was_encoded(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_are_single_ids_wherever_they_stand(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|im_start|>")[0] == tokenizer.im_start
    assert len(tokenizer.encode("x<tool_call>y")) == 3


def test_a_frequent_word_is_one_token_with_its_space(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode(" weather")) == 1


def test_a_word_is_cut_alike_after_a_space_and_after_a_quote(tokenizer: Tokenizer) -> None:
    spaced, quoted = tokenizer.encode(" Oporto"), tokenizer.encode('"Oporto')
    assert spaced[1:] == quoted[1:]


def test_digits_never_merge(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("1234")) == 4


def test_training_gives_the_same_tokens_every_time(tokenizer: Tokenizer) -> None:
    again = train(TEXTS, TEXTS, n_tokens=len(SPECIAL) + 256 + 40, n_spaced=10)
    assert again.tokens == tokenizer.tokens
    assert again.merges == tokenizer.merges
