"""What the engine's thread does with each message."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from models.engine.context_end import ContextRules
from models.engine.loop import Engine
from models.engine.prepare import Preparer
from models.errors import BadRequest, LoadError
from models.runner.desk import NO_EMBEDDINGS, Desk, Generation
from models.runner.messages import (
    AdaptersHeld,
    Cancel,
    Detokenize,
    Embed,
    Failed,
    FailureKind,
    Finished,
    FreeAdapters,
    FromRunner,
    Generate,
    LoadAdapters,
    Reason,
    Text,
    Tokenize,
    Tokens,
)
from models.runner.settings import HeldAdapters, Sampling
from tests.fakes.context import CALL, ByteVocabulary, FakeContext, says


class Shelf:
    """Adapters by name; one is bad, and one in use."""

    def __init__(self) -> None:
        self.held = HeldAdapters()

    def read_ahead(self, paths: Sequence[str]) -> None:
        self.read = paths

    def load(self, paths: Sequence[str]) -> None:
        assert self.read == paths
        if "bad" in paths:
            raise LoadError("unable to load adapter")
        self.held = HeldAdapters((*self.held.paths, *paths), 10)

    def free_idle(self) -> None:
        self.held = HeldAdapters(("used",), 5)


class SlowService:
    """Every request takes long to prepare: until `go`."""

    has_work = False
    adapter_sets = ()

    def __init__(self) -> None:
        self.go = threading.Event()
        self.preparing = threading.Event()
        self.submitted: list[Any] = []
        self.cancelled: list[int] = []

    def is_quick(self, request: Any) -> bool:
        return False

    def prepare(self, request: Any) -> Any:
        self.preparing.set()
        assert self.go.wait(10)
        if request.prompt == "bad":
            raise BadRequest("no")
        if request.prompt == "defect":
            raise ZeroDivisionError
        return request.prompt

    def submit(self, task: Any) -> None:
        self.submitted.append(task)

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)

    def step(self) -> Sequence[FromRunner]:
        return []

    def when_computed(self, call: Callable[[], None]) -> None:
        raise AssertionError("the worker's business")


@pytest.fixture
def inbox() -> queue.SimpleQueue[Any]:
    return queue.SimpleQueue()


@pytest.fixture
def desk(inbox: queue.SimpleQueue[Any]) -> Desk:
    vocabulary = ByteVocabulary()
    rules = ContextRules(n_ctx=256, n_ctx_seq=256, shift=True, adds_bos=False)
    engine = Engine(FakeContext(says("hi")), vocabulary, rules, n_slots=2)
    return Desk(Generation(engine, Preparer(vocabulary, rules)), vocabulary, Shelf(), inbox)


def answers(desk: Desk) -> list[FromRunner]:
    heard: list[FromRunner] = []
    while desk.has_work:
        heard += desk.step()
    return heard


def test_text_becomes_tokens_and_tokens_text(desk: Desk) -> None:
    desk.handle(Tokenize(1, "a<call>"))
    desk.handle(Detokenize(2, (ord("a"), CALL)))
    assert answers(desk) == [Tokens(1, (ord("a"), CALL)), Text(2, "a<call>")]


def test_a_generation_is_computed(desk: Desk) -> None:
    desk.handle(Generate(1, "x:", Sampling(temperature=0)))
    heard = answers(desk)
    assert "".join(message.text for message in heard[:-1]) == "hi"  # type: ignore[union-attr]
    assert isinstance(heard[-1], Finished)


def test_a_bad_request_is_answered_and_nothing_else_happens(desk: Desk) -> None:
    desk.handle(Generate(1, "x:", Sampling(repeat_penalty=-1)))
    (answer,) = answers(desk)
    assert isinstance(answer, Failed) and answer.kind is FailureKind.BAD_REQUEST


def test_a_model_that_generates_has_no_embeddings(desk: Desk) -> None:
    desk.handle(Embed(1, ("a",)))
    assert answers(desk) == [Failed(1, FailureKind.UNSUPPORTED, NO_EMBEDDINGS)]


def test_a_cancellation_reaches_the_engine(desk: Desk) -> None:
    desk.handle(Generate(1, "x:"))
    desk.handle(Cancel(1))
    (answer,) = answers(desk)
    assert isinstance(answer, Finished) and answer.reason is Reason.CANCELLED


def test_adapters_are_read_elsewhere_loaded_and_given_up(desk: Desk, inbox: queue.SimpleQueue[Any]) -> None:
    heard: list[FromRunner] = []
    for request in (LoadAdapters(1, ("one", "used")), LoadAdapters(2, ("bad",))):
        desk.handle(request)
        assert answers(desk) == []
        desk.handle(inbox.get(timeout=10))
        heard += answers(desk)
    desk.handle(FreeAdapters(3))
    assert heard + answers(desk) == [
        AdaptersHeld(1, HeldAdapters(("one", "used"), 10)),
        Failed(2, FailureKind.LOAD, "unable to load adapter"),
        AdaptersHeld(3, HeldAdapters(("used",), 5)),
    ]


def test_what_takes_long_to_prepare_does_not_hold_up_the_engine(inbox: queue.SimpleQueue[Any]) -> None:
    service = SlowService()
    desk = Desk(service, ByteVocabulary(), Shelf(), inbox)
    desk.handle(Generate(1, "slow"))
    desk.handle(Tokenize(2, "a"))
    assert answers(desk) == [Tokens(2, (97,))] and service.submitted == []
    service.go.set()
    desk.handle(inbox.get(timeout=10))
    assert service.submitted == ["slow"]


def test_a_long_text_is_tokenized_elsewhere(desk: Desk, inbox: queue.SimpleQueue[Any]) -> None:
    desk.handle(Tokenize(1, "a" * 100_000))
    assert answers(desk) == []
    desk.handle(inbox.get(timeout=10))
    assert answers(desk) == [Tokens(1, (97,) * 100_000)]


def test_a_request_cancelled_while_it_is_prepared_is_answered_once(inbox: queue.SimpleQueue[Any]) -> None:
    service = SlowService()
    desk = Desk(service, ByteVocabulary(), Shelf(), inbox)
    desk.handle(Generate(1, "slow"))
    desk.handle(Generate(2, "never prepared"))
    assert service.preparing.wait(10)
    desk.handle(Cancel(2))
    desk.handle(Cancel(1))
    assert [type(answer).__name__ for answer in answers(desk)] == ["Finished", "Finished"]
    service.go.set()
    desk.handle(inbox.get(timeout=10))  # the first one comes back all the same
    assert answers(desk) == [] and service.submitted == [] and inbox.empty()


def test_a_request_refused_while_it_is_prepared_is_answered(inbox: queue.SimpleQueue[Any]) -> None:
    service = SlowService()
    service.go.set()
    desk = Desk(service, ByteVocabulary(), Shelf(), inbox)
    desk.handle(Generate(1, "bad"))
    desk.handle(inbox.get(timeout=10))
    assert answers(desk) == [Failed(1, FailureKind.BAD_REQUEST, "no")]


def test_a_defect_fails_the_request_and_nothing_else(inbox: queue.SimpleQueue[Any]) -> None:
    service = SlowService()
    service.go.set()
    desk = Desk(service, ByteVocabulary(), Shelf(), inbox)
    for request in (Generate(1, "defect"), Generate(2, "good")):
        desk.handle(request)
        desk.handle(inbox.get(timeout=10))
    (answer,) = answers(desk)
    assert isinstance(answer, Failed) and (answer.request_id, answer.kind) == (1, FailureKind.INTERNAL)
    assert service.submitted == ["good"]
