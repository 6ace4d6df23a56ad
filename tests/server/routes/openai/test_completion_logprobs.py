"""Log-probabilities in OpenAI's first form."""

from __future__ import annotations

from typing import Any

import pytest

from models.parsers.events import AlternativeToken, Delta, TokenLogprob
from server.routes.openai.completion_logprobs import CompletionLogprobs, mean_logprob


def token(piece: bytes, logprob: float = -0.5, *top: tuple[bytes, float]) -> TokenLogprob:
    return TokenLogprob(piece, logprob, tuple(AlternativeToken(*other) for other in top))


def test_offsets_go_on_from_part_to_part() -> None:
    writer = CompletionLogprobs()
    first = writer.fields(Delta("ab", logprobs=(token(b"a", -0.5, (b"a", -0.5), (b"x", -2)), token(b"b"))))
    assert first == {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"a": -0.5, "x": -2}, {}],
        "text_offset": [0, 1],
    }
    assert writer.fields(Delta("c", logprobs=(token(b"c"),)))["text_offset"] == [2]


def test_parts_of_a_character_are_told_as_bytes_and_end_where_it_does() -> None:
    tokens = (token("é".encode()[:1]), token("é".encode()[1:]), token(b"a"))
    found = CompletionLogprobs().fields(Delta("éa", logprobs=tokens))
    assert (found["tokens"], found["text_offset"]) == (["bytes:\\xc3", "bytes:\\xa9", "a"], [0, 0, 1])


def echoed(text: str, *pieces: bytes) -> dict[str, Any]:
    tokens = tuple(token(piece, -0.5, (piece, -0.5)) for piece in pieces)
    return CompletionLogprobs(scores_prompt=True).fields(Delta(text, logprobs=tokens))


def test_the_first_token_of_a_prompt_has_no_probability() -> None:
    assert echoed("abc", b"a", b"b", b"c") == {
        "tokens": ["a", "b", "c"],
        "token_logprobs": [None, -0.5, -0.5],
        "top_logprobs": [None, {"b": -0.5}, {"c": -0.5}],
        "text_offset": [0, 1, 2],
    }


@pytest.mark.parametrize(
    ("text", "pieces", "offsets"),
    [
        ("Hi you", [b"<s>", b"Hi", b" you"], [0, 0, 2]),
        ("Hi you", [b"<s>", b" Hi", b" you"], [0, 0, 2]),
        ("Hi you", [b" Hi", b" you", b"!"], [0, 2, 6]),
        (" Hi", [b"<s>", b" Hi", b"!"], [0, 0, 3]),
        ("<s>Hi", [b"<s>", b"Hi"], [0, 3]),
        ("éa", ["é".encode()[:1], "é".encode()[1:], b"a"], [0, 0, 1]),
    ],
)
def test_what_a_tokenizer_puts_before_a_prompt_takes_none_of_it(
    text: str, pieces: list[bytes], offsets: list[int]
) -> None:
    assert echoed(text, *pieces)["text_offset"] == offsets


def test_a_stream_that_scores_a_prompt_has_its_text_first() -> None:
    writer = CompletionLogprobs(scores_prompt=True)
    assert writer.fields(Delta("Hi"))["tokens"] == []
    first = writer.fields(Delta(logprobs=(token(b"<s>"), token(b" Hi"))))
    assert (first["token_logprobs"], first["text_offset"]) == ([None, -0.5], [0, 0])
    second = writer.fields(Delta("!", logprobs=(token(b"!"),)))
    assert (second["token_logprobs"], second["text_offset"]) == ([-0.5], [2])


def test_thoughts_have_no_tokens_as_they_have_no_text() -> None:
    assert CompletionLogprobs().fields(Delta(thinking="t", logprobs=(token(b"t"),)))["tokens"] == []


def test_a_reply_is_as_likely_as_its_tokens_are_on_average() -> None:
    assert mean_logprob([token(b"a", -1), token(b"b", -2)]) == -1.5
    assert mean_logprob([]) == float("-inf")
