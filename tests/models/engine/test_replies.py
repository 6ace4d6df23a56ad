"""One generation: its text as it comes, where it ends, what is told of it."""

from __future__ import annotations

import pytest

from models.runner.messages import Reason
from tests.fakes.context import END, ByteVocabulary, counts, says
from tests.models.engine.engine_case import EngineCase


def test_a_reply_ends_with_the_end_token_which_is_counted_and_not_shown() -> None:
    case = EngineCase(says("Hello!"))
    case.submit(1, "greet:")
    case.run()
    assert case.text(1) == "Hello!"
    end = case.finished(1)
    assert (end.reason, end.n_prompt, end.n_generated, end.n_cached) == (Reason.STOP, 6, 7, 0)
    assert end.prompt_ns > 0 and end.decode_ns > 0


def test_every_token_is_heard_when_it_comes() -> None:
    case = EngineCase(says("abc"))
    case.submit(1, "x:")
    case.step()
    assert case.text(1) == "a"
    case.step()
    assert case.text(1) == "ab"


def test_n_predict_limits_the_reply() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=5)
    case.run()
    assert case.text(1) == "bcdef"
    assert (case.finished(1).reason, case.finished(1).n_generated) == (Reason.LIMIT, 5)


def test_an_end_token_at_the_limit_counts_as_the_end() -> None:
    case = EngineCase(says("abc"))
    case.submit(1, "x:", n_predict=4)
    case.run()
    assert case.finished(1).reason is Reason.STOP


def test_a_stop_string_ends_the_reply_before_it() -> None:
    case = EngineCase(says("one STOP two"))
    case.submit(1, "x:", stop=("STOP",))
    case.run()
    assert case.text(1) == "one "
    assert (case.finished(1).reason, case.finished(1).n_generated) == (Reason.STOP, 8)


def test_half_characters_are_never_sent() -> None:
    case = EngineCase(says("Grüße 😀"))
    case.submit(1, "x:")
    case.run()
    assert [event.text for event in case.heard[1][:-1]] == [*"Grüße 😀"]  # type: ignore[union-attr]


def test_a_prompt_without_tokens_gets_an_empty_reply() -> None:
    case = EngineCase(counts)
    case.submit(1, "")
    case.run()
    assert (case.text(1), case.finished(1).reason, case.finished(1).n_prompt) == ("", Reason.STOP, 0)


def test_control_tokens_are_shown_only_if_asked_for() -> None:
    vocabulary = ByteVocabulary()
    call = int(vocabulary.tokenize("<call>", add_special=False)[0])
    for shown, text in (((), "ab"), (("<call>",), "<call>ab")):
        case = EngineCase(lambda tokens: {ord(":"): call, call: ord("a"), ord("a"): ord("b")}.get(tokens[-1], END))
        case.submit(1, "x:", shown=shown)
        case.run()
        assert case.text(1) == text


def test_log_probabilities_come_with_the_text_they_belong_to() -> None:
    case = EngineCase(says("aü"))
    case.submit(1, "x:", n_logprobs=2)
    case.run()
    chunks = case.heard[1][:-1]
    assert [[entry.piece for entry in chunk.logprobs] for chunk in chunks] == [[b"a"], ["ü".encode()]]  # type: ignore[union-attr]
    first = chunks[0].logprobs[0]  # type: ignore[union-attr]
    assert first.logprob == pytest.approx(0, abs=1e-6) and first.top[0].piece == b"a" and len(first.top) == 2


def test_suppressed_tokens_are_never_said() -> None:
    case = EngineCase(counts, vocabulary=ByteVocabulary(suppressed=[ord("c"), 271]))
    case.submit(1, "b", n_predict=1)
    case.run()
    assert case.text(1) != "c"
