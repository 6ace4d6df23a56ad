"""Prompts that are scored: the log-probability of each of their tokens, whatever else the engine computes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from models.engine.scoring import PromptScoring
from models.errors import UnusableOutput
from models.llama.outcome import Outcome
from models.runner.messages import Chunk, Failed, FailureKind, Finished, Reason, TokenLogprob
from tests.fakes.context import N_VOCAB, ByteVocabulary, FakeContext, hashes, says
from tests.models.engine.engine_case import EngineCase

PROMPT = "abcdefghijklmnopqrstuvwxyz0123456789"
"""Longer than what a step may score."""

HIT, MISS = -1.6e-19, -50.0
"""About what the fake model's logits make of the token that it expects, and of others."""


def expected(prompt: str) -> list[bool | None]:
    """Whether the model expects each token after those before it."""
    tokens = prompt.encode()
    return [None, *(hashes(tuple(tokens[:i])) == tokens[i] for i in range(1, len(tokens)))]


def continued(start: str, n: int) -> str:
    """A text that goes on as the model would."""
    tokens = list(start.encode())
    for _ in range(n):
        tokens.append(hashes(tuple(tokens)))
    return bytes(tokens).decode()


def scores(chunks: Sequence[Chunk]) -> list[TokenLogprob]:
    return [token for chunk in chunks if chunk.n_tokens == 0 for token in chunk.logprobs]


def check(case: EngineCase, request_id: int, prompt: str) -> None:
    found = scores(case.chunks(request_id))
    assert b"".join(token.piece for token in found).decode() == prompt
    for token, is_expected in zip(found[1:], expected(prompt)[1:], strict=True):
        assert (token.logprob > -1) == is_expected
        assert token.top[0].logprob > -1 and (token.top[0].piece == token.piece) == is_expected


@pytest.mark.parametrize("n_scored", [1, 3, 8, 64])
@pytest.mark.parametrize("n_predict", [0, 1, 5])
def test_every_token_of_a_prompt_is_scored_once_and_in_order(n_scored: int, n_predict: int) -> None:
    prompt = continued("abc", 20) + PROMPT
    case = EngineCase(hashes, context=FakeContext(hashes, n_scored=n_scored))
    case.submit(1, prompt, n_predict=n_predict, n_logprobs=2, scores_prompt=True)
    case.run()
    check(case, 1, prompt)
    end = case.heard[1][-1]
    assert isinstance(end, Finished) and (end.reason, end.n_generated) == (Reason.LIMIT, n_predict)
    assert end.n_prompt == len(prompt) and end.prompt_ns > 0
    replied = [chunk for chunk in case.chunks(1) if chunk.n_tokens]
    assert "".join(chunk.text for chunk in replied) == continued(prompt, n_predict)[len(prompt) :]
    assert sum(len(chunk.logprobs) for chunk in replied) == n_predict


def test_no_step_computes_more_logits_than_there_is_room_for() -> None:
    case = EngineCase(hashes, context=FakeContext(hashes, n_scored=4))
    for i in range(3):
        case.submit(i, PROMPT + str(i), n_predict=2, n_logprobs=1, scores_prompt=True)
    case.submit(3, PROMPT, n_predict=2)
    case.run()
    for i in range(3):
        check(case, i, PROMPT + str(i))
    assert max(max(step.values()) for step in case.fake.steps if len(step) == 1) <= 4


def test_what_is_computed_already_is_computed_again_and_others_may_take_it_over() -> None:
    case = EngineCase(hashes)
    case.submit(1, PROMPT, n_predict=1)
    case.run()
    case.submit(2, PROMPT, n_predict=1, n_logprobs=0, scores_prompt=True)
    case.run()
    assert len(scores(case.chunks(2))) == len(PROMPT) and case.finished(2).n_cached == 0
    case.submit(3, PROMPT, n_predict=1)
    case.run()
    assert case.finished(3).n_cached == len(PROMPT) - 1


def test_a_prompt_of_one_token_has_nothing_to_go_by() -> None:
    case = EngineCase(hashes)
    case.submit(1, "a", n_predict=0, n_logprobs=1, scores_prompt=True)
    case.submit(2, "a", n_predict=1, n_logprobs=1, scores_prompt=True)
    case.run()
    assert [scores(case.chunks(i)) for i in (1, 2)] == [[TokenLogprob(b"a", 0.0)]] * 2


def test_one_that_loses_its_cells_is_scored_on_from_where_it_was() -> None:
    case = EngineCase(hashes, context=FakeContext(hashes, n_scored=8))
    case.submit(1, "x" * 60, n_predict=60)
    case.step(8)
    case.submit(2, PROMPT, n_predict=30, n_logprobs=1, scores_prompt=True)
    case.step(2)
    assert 0 < len(scores(case.chunks(2))) < len(PROMPT)
    slot = next(slot for slot in case.engine._slots.running if slot.sequence and slot.sequence.request_id == 2)
    case.engine._slots.park(slot)
    case.run()
    check(case, 2, PROMPT)


def test_a_decode_without_room_is_repeated_with_less() -> None:
    case = EngineCase(hashes, context=FakeContext(hashes, failures=[Outcome.NO_ROOM, Outcome.NO_ROOM]))
    case.submit(1, PROMPT, n_predict=0, n_logprobs=1, scores_prompt=True)
    case.run()
    check(case, 1, PROMPT)


@pytest.mark.parametrize(
    ("reply", "pieces"),
    [
        (b"", [b"<end>"]),
        (b"a", [b"a", b"<end>"]),
        ("é".encode(), ["é".encode()[:1], "é".encode()[1:], b"<end>"]),
        ("é".encode()[:1], ["é".encode()[:1], b"<end>"]),
    ],
)
def test_each_token_of_the_reply_is_told_too_also_without_text(reply: bytes, pieces: list[bytes]) -> None:
    case = EngineCase(says(reply))
    case.submit(1, ":x:", n_predict=9, n_logprobs=1, scores_prompt=True)
    case.run()
    told = [token.piece for chunk in case.chunks(1) if chunk.n_tokens for token in chunk.logprobs]
    assert told == pieces and case.finished(1).n_generated == len(pieces)


def test_logits_that_are_no_numbers_fail_the_request_alone() -> None:
    case = EngineCase(hashes, context=FakeContext(hashes, bad_logits={0}))
    case.submit(1, PROMPT, n_predict=0, n_logprobs=1, scores_prompt=True)
    case.submit(2, PROMPT, n_predict=1, n_logprobs=1, scores_prompt=True)
    case.run()
    (failed,) = case.heard[1]
    assert isinstance(failed, Failed) and failed.kind is FailureKind.UNUSABLE_OUTPUT
    check(case, 2, PROMPT)


def test_a_scored_prompt_can_be_cancelled_half_way() -> None:
    case = EngineCase(hashes)
    case.submit(1, PROMPT, n_predict=0, n_logprobs=1, scores_prompt=True)
    case.step()
    case.engine.cancel(1)
    case.run()
    assert case.finished(1).reason is Reason.CANCELLED and len(scores(case.chunks(1))) < len(PROMPT)


def test_it_is_the_models_own_distribution() -> None:
    logits = np.zeros((1, N_VOCAB), dtype=np.float32)
    logits[0, ord("b")], logits[0, ord("c")] = 2, 1
    scoring = PromptScoring(7, np.array([ord("a"), ord("b"), ord("z")], dtype=np.int32), 2, ByteVocabulary())
    chunk = scoring.read(logits, 0)
    assert chunk is not None and not scoring.is_over
    first, second = chunk.logprobs
    total = math.exp(2) + math.exp(1) + N_VOCAB - 2
    assert (first.piece, second.piece, first.top) == (b"a", b"b", ())
    assert second.logprob == pytest.approx(2 - math.log(total))
    assert [one.piece for one in second.top] == [b"b", b"c"]
    assert [one.logprob for one in second.top] == pytest.approx([2 - math.log(total), 1 - math.log(total)])
    assert scoring.read(logits, 0) is None  # computed again
    with pytest.raises(UnusableOutput):
        scoring.read(logits * np.nan, 1)
