"""Embeddings: inputs of several requests in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from models.engine.embeddings import EmbeddingEngine, InputRules, fit_input, plan_inputs, prepare_embed
from models.engine.ports import Floats, Tokens
from models.errors import ContextLost, InputTooLong, LoadError
from models.runner.messages import Embed, Embedded, Failed, FailureKind, Finished, InputCut
from models.runner.settings import Adapter, AdapterSet
from tests.fakes.context import BOS, ByteVocabulary


@dataclass
class FakeEmbedder:
    """A vector is the length of the input and its first token."""

    n_seq_max: int = 4
    n_batch: int = 20
    n_embd: int = 2
    is_ranking: bool = False
    batches: list[list[int]] = field(default_factory=list)
    used: list[AdapterSet] = field(default_factory=list)
    failure: Exception | None = None

    def embed(self, inputs: Sequence[Tokens], adapters: AdapterSet) -> Floats:
        if self.failure:
            raise self.failure
        self.batches.append([len(tokens) for tokens in inputs])
        self.used.append(adapters)
        return np.array([[len(tokens), tokens[0]] for tokens in inputs], dtype=np.float32)


def run(embedder: FakeEmbedder, *requests: Embed) -> dict[int, Embedded | Failed]:
    engine = EmbeddingEngine(embedder)
    for request in requests:
        engine.submit(prepare_embed(request, ByteVocabulary(), InputRules(100)))
    answers: dict[int, Embedded | Failed] = {}
    while engine.has_work:
        for answer in engine.step():
            assert answer.request_id not in answers and not isinstance(answer, Finished)
            answers[answer.request_id] = answer
    return answers


def vectors(answer: Embedded | Failed) -> list[list[float]]:
    assert isinstance(answer, Embedded)
    values: list[list[float]] = np.frombuffer(answer.vectors, "<f4").reshape(-1, answer.n_embd).tolist()
    return values


def raw(request_id: int, *inputs: str) -> Embed:
    return Embed(request_id, inputs, normalize=False)


def test_vectors_come_in_the_order_of_the_inputs_with_their_tokens_counted() -> None:
    answer = run(FakeEmbedder(), raw(1, "bb", "a", "ccc"))[1]
    assert vectors(answer) == [[2, 98], [1, 97], [3, 99]]
    assert isinstance(answer, Embedded) and answer.n_tokens == 6


def test_several_requests_share_a_batch() -> None:
    embedder = FakeEmbedder()
    answers = run(embedder, raw(1, "a"), raw(2, "bb", "c"), raw(3, "d"))
    assert embedder.batches == [[1, 2, 1, 1]]
    assert [len(vectors(answers[i])) for i in (1, 2, 3)] == [1, 2, 1]


def test_a_batch_is_as_large_as_tokens_and_sequences_allow() -> None:
    embedder = FakeEmbedder()
    run(embedder, raw(1, "x" * 12, "x" * 8, "x", "x", "x", "x", "x"), raw(2, "x" * 50))
    assert embedder.batches == [[12, 8], [1, 1, 1, 1], [1], [50]]


@pytest.mark.parametrize(
    ("waiting", "n"), [([], 0), ([5], 1), ([100], 1), ([5, 5, 5], 3), ([10, 10, 1], 2), ([1] * 9, 4), ([19, 2], 1)]
)
def test_how_many_inputs_a_batch_takes(waiting: list[int], n: int) -> None:
    assert plan_inputs(waiting, n_batch=20, n_seq_max=4) == n


def test_a_step_may_take_less_than_a_batch_but_no_part_of_an_input() -> None:
    embedder = FakeEmbedder()
    engine = EmbeddingEngine(embedder, n_step=8)
    engine.submit(prepare_embed(Embed(1, ("abc", "def", "ghi", "x" * 15)), ByteVocabulary(), InputRules(100)))
    while engine.has_work:
        engine.step()
    assert embedder.batches == [[3, 3], [3], [15]]


def test_a_long_list_costs_no_more_than_its_tokens() -> None:
    embedder = FakeEmbedder()
    run(embedder, Embed(1, ("abcde",) * 40), Embed(2, ("vwxyz",) * 24))
    assert embedder.batches == [[5] * 4] * 16


def test_vectors_get_length_one_if_asked_for() -> None:
    values = vectors(run(FakeEmbedder(), Embed(1, ("a", "bb")))[1])
    assert np.linalg.norm(values, axis=1).tolist() == pytest.approx([1, 1])
    assert run(FakeEmbedder(is_ranking=True), Embed(1, ("a",))).keys() == {1}


def test_a_vector_of_zeros_stays_one() -> None:
    class Zero(FakeEmbedder):
        def embed(self, inputs: Sequence[Tokens], adapters: AdapterSet) -> Floats:
            return np.zeros((len(inputs), 2), dtype=np.float32)

    assert vectors(run(Zero(), Embed(1, ("a",)))[1]) == [[0, 0]]


def test_vectors_that_are_not_numbers_fail_their_request_only() -> None:
    class Broken(FakeEmbedder):
        def embed(self, inputs: Sequence[Tokens], adapters: AdapterSet) -> Floats:
            result = super().embed(inputs, adapters)
            result[result[:, 1] == ord("z")] = np.nan
            return result

    answers = run(Broken(), raw(1, "a", "z"), raw(2, "b"))
    assert answers[1] == Failed(1, FailureKind.BAD_REQUEST, "embedding contains NaN or Inf values")
    assert vectors(answers[2]) == [[1, 98]]


def test_a_failed_computation_fails_everyone_in_the_batch_once() -> None:
    answers = run(FakeEmbedder(failure=ContextLost("boom")), raw(1, "a", "b"), raw(2, "c"))
    assert [(answer.request_id, answer.text) for answer in answers.values() if isinstance(answer, Failed)] == [
        (1, "boom"),
        (2, "boom"),
    ]


def test_a_cancelled_request_is_not_computed() -> None:
    embedder = FakeEmbedder()
    engine = EmbeddingEngine(embedder)
    for request_id in (1, 2):
        engine.submit(prepare_embed(raw(request_id, "a"), ByteVocabulary(), InputRules(100)))
    engine.cancel(1)
    heard = engine.step()
    assert {answer.request_id: type(answer).__name__ for answer in heard} == {1: "Finished", 2: "Embedded"}
    assert embedder.batches == [[1]]


# ---- too long ------------------------------------------------------------------------------------------------------


def fit(text: str, *, truncate: bool = True, n_ctx: int = 8, keeps_last: bool = True) -> list[int]:
    rules = InputRules(n_ctx, keeps_first=True, keeps_last=keeps_last)
    return fit_input(text, ByteVocabulary(adds_bos=True), rules, truncate=truncate)[0].tolist()


def test_an_input_that_fits_with_its_special_tokens_is_left_alone() -> None:
    assert fit("abcdefg") == [BOS, *b"abcdefg"]


def test_a_longer_one_is_cut_with_room_for_special_tokens() -> None:
    assert fit("abcdefgh") == [BOS, *b"abcdef"]
    assert fit("abcdefgh", keeps_last=False) == [BOS, *b"abcdefg"]


def test_the_answer_tells_which_inputs_were_cut() -> None:
    rules = InputRules(8, keeps_first=True, keeps_last=True)
    task = prepare_embed(Embed(1, ("ab", "abcdefghij", "abcdefg")), ByteVocabulary(adds_bos=True), rules)
    engine = EmbeddingEngine(FakeEmbedder())
    engine.submit(task)
    events = [event for _ in range(3) for event in engine.step()]
    (answer,) = events
    assert isinstance(answer, Embedded)
    assert (answer.n_tokens, answer.cuts) == (3 + 7 + 8, (InputCut(1, 11, 7),))


@pytest.mark.parametrize(
    ("n_ctx", "truncate", "message"),
    [
        (8, False, "the input length exceeds the context length"),
        (2, True, "input after truncation exceeds maximum context length"),
    ],
)
def test_what_cannot_be_cut_is_refused(n_ctx: int, truncate: bool, message: str) -> None:
    with pytest.raises(InputTooLong) as raised:
        fit("abcdefghij", n_ctx=n_ctx, truncate=truncate)
    assert str(raised.value) == message


def test_an_empty_input_without_any_token_has_no_embedding() -> None:
    with pytest.raises(Exception, match="no tokens"):
        fit_input("", ByteVocabulary(), InputRules(8), truncate=True)


def test_only_requests_with_the_same_adapters_share_a_batch() -> None:
    one, other = (Adapter("one"),), (Adapter("other"),)
    embedder = FakeEmbedder()
    requests = [Embed(1, ("a",), adapters=one), Embed(2, ("bb",)), Embed(3, ("ccc",), adapters=one)]
    heard = run(embedder, *requests, Embed(4, ("dddd",), adapters=other))
    assert sorted(heard) == [1, 2, 3, 4] and vectors(heard[3])
    assert (embedder.batches, embedder.used) == ([[1, 3], [2], [4]], [one, (), other])


def test_an_adapter_that_cannot_be_loaded_fails_those_who_use_it() -> None:
    class Choosy(FakeEmbedder):
        def embed(self, inputs: Sequence[Tokens], adapters: AdapterSet) -> Floats:
            if adapters:
                raise LoadError("unable to load adapter")
            return super().embed(inputs, adapters)

    heard = run(Choosy(), Embed(1, ("a",), adapters=(Adapter("bad"),)), Embed(2, ("b",)))
    assert heard[1] == Failed(1, FailureKind.LOAD, "unable to load adapter") and vectors(heard[2])
