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
from models.runner.lanes import Lane, Steps
from models.runner.messages import (
    AdaptersHeld,
    Cancel,
    Chunk,
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
from models.runner.settings import Constraint, HeldAdapters, Sampling
from models.sampling import grammar, trial
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

    def prepare(self, request: Any) -> Steps[Any]:
        yield Lane.READING
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


class Trials:
    """Trials of grammars in place of processes: slow ones take until `go`; `threads` has who tried."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.slow = threading.Semaphore(0)
        self.threads: set[str] = set()

    def ends(self, lark: str, budget: trial.Budget, *, n_tokens: int) -> bool | None:
        self.threads.add(threading.current_thread().name)
        if "slow" not in lark:
            return True
        if budget is trial.BRIEF:
            return None
        self.slow.release()
        assert self.go.wait(10)
        return False


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Trials:
    made = Trials()
    monkeypatch.setattr(trial, "ends", made.ends)
    return made


def gbnf(request_id: int, text: str) -> Generate:
    return Generate(request_id, "x:", Sampling(temperature=0), constraint=Constraint("gbnf", f'root ::= "{text}"'))


def reply(heard: Sequence[FromRunner]) -> str:
    return "".join(message.text for message in heard if isinstance(message, Chunk))


def test_grammars_that_take_long_delay_neither_quick_ones_nor_formats(
    desk: Desk, inbox: queue.SimpleQueue[Any], trials: Trials
) -> None:
    for i in range(20):
        desk.handle(gbnf(i, f"slow {i}"))
    assert trials.slow.acquire(timeout=10)
    desk.handle(gbnf(20, "hi"))
    desk.handle(inbox.get(timeout=10))
    assert reply(answers(desk)) == "hi"
    desk.handle(Generate(21, "x:", Sampling(temperature=0), constraint=Constraint("regex", "h[a-z]")))
    desk.handle(inbox.get(timeout=10))
    assert reply(answers(desk)) == "hi"
    trials.go.set()
    refused: list[FromRunner] = []
    for _ in range(20):
        desk.handle(inbox.get(timeout=10))
        refused += answers(desk)
    assert sorted(answer.request_id for answer in refused if isinstance(answer, Failed)) == list(range(20))


def test_one_who_gave_up_is_not_waited_for(desk: Desk, inbox: queue.SimpleQueue[Any], trials: Trials) -> None:
    for i in range(3):
        desk.handle(gbnf(i, f"slow {i}"))
    assert trials.slow.acquire(timeout=10)
    for i in range(3):
        desk.handle(Cancel(i))
    trials.go.set()
    desk.handle(gbnf(3, "slow too"))
    told: list[FromRunner] = []
    while not any(isinstance(answer, Failed) for answer in told):
        desk.handle(inbox.get(timeout=10))
        told += answers(desk)
    assert trials.slow.acquire(timeout=10)
    assert not trials.slow.acquire(blocking=False)  # those in between were never tried


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("json", ""),
        Constraint("json_schema", '{"properties": {"a": {"items": {"type": "banana"}}}}'),
        Constraint("regex", "(a"),
        Constraint("gbnf", 'root ::= "a'),
        Constraint("lark", "start: ("),
    ],
    ids=lambda constraint: constraint.kind,
)
def test_nothing_of_a_new_constraint_is_done_on_the_engines_thread(
    desk: Desk, inbox: queue.SimpleQueue[Any], trials: Trials, monkeypatch: pytest.MonkeyPatch, constraint: Constraint
) -> None:
    threads: set[str] = set()
    for module, name in ((grammar, "_to_lark"), (grammar, "refusal"), (grammar, "place_in_schema")):
        monkeypatch.setattr(module, name, noting(threads, getattr(module, name)))
    desk.handle(Generate(1, "x:", Sampling(temperature=0), constraint=constraint))
    assert answers(desk) == []
    desk.handle(inbox.get(timeout=10))
    assert answers(desk)
    assert threads and threading.current_thread().name not in threads | trials.threads


def noting(threads: set[str], function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; notes who calls it."""

    def call(*args: Any, **named: Any) -> Any:
        threads.add(threading.current_thread().name)
        return function(*args, **named)

    return call


def test_a_format_that_was_asked_for_before_is_ready_at_once(desk: Desk, inbox: queue.SimpleQueue[Any]) -> None:
    constraint = Constraint("regex", "h[a-z]")
    desk.handle(Generate(1, "x:", Sampling(temperature=0), constraint=constraint))
    desk.handle(inbox.get(timeout=10))
    assert reply(answers(desk)) == "hi"
    for i in (2, 3):
        desk.handle(Generate(i, "x:", Sampling(temperature=0), constraint=constraint))
    assert reply(answers(desk)) == "hhii"
    assert inbox.empty()


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
