"""Log-probabilities in OpenAI's first form."""

from __future__ import annotations

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


def test_thoughts_have_no_tokens_as_they_have_no_text() -> None:
    assert CompletionLogprobs().fields(Delta(thinking="t", logprobs=(token(b"t"),)))["tokens"] == []


def test_a_reply_is_as_likely_as_its_tokens_are_on_average() -> None:
    assert mean_logprob([token(b"a", -1), token(b"b", -2)]) == -1.5
    assert mean_logprob([]) == float("-inf")
