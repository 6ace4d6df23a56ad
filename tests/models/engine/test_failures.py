"""Whom a failure concerns, and that the others go on."""

from __future__ import annotations

from models.errors import ContextLost
from models.llama.outcome import Outcome
from models.runner.messages import FailureKind
from tests.fakes.context import FakeContext, counts, hashes
from tests.models.engine.engine_case import EngineCase, alone


def test_a_lost_context_fails_those_who_took_part_and_is_built_anew() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=5)
    case.step()
    case.fake.failures = [ContextLost("boom")]
    case.step()
    assert (case.failed(1).kind, case.failed(1).text) == (FailureKind.INTERNAL, "boom")
    case.submit(2, "a", n_predict=5)
    case.run()
    assert case.text(2) == "bcdef" and case.fake.n_rebuilt == 1


def test_those_who_did_not_take_part_in_a_lost_step_compute_again() -> None:
    case = EngineCase(hashes, n_slots=3, context=FakeContext(hashes, n_batch=2))
    for request_id in (1, 2, 3):
        case.submit(request_id, "a", n_predict=10)
    case.step(3)  # the batch has room for two
    case.fake.failures = [ContextLost("boom")]
    case.run()
    assert case.failed(1).text == case.failed(2).text == "boom"
    assert case.text(3) == alone("a", 10)


def test_a_refused_batch_fails_its_requests_only() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=5)
    case.fake.failures = [Outcome.REFUSED]
    case.step()
    assert case.failed(1).kind is FailureKind.INTERNAL
    case.submit(2, "a", n_predict=2)
    case.run()
    assert case.text(2) == "bc"


def test_when_cells_run_out_what_idle_slots_hold_goes_first() -> None:
    case = EngineCase(hashes, n_slots=2, n_ctx=100, context=FakeContext(hashes, n_cells=120))
    case.submit(1, "x" * 80, n_predict=2)
    case.run()
    case.submit(2, "y" * 80, n_predict=2)
    case.run()
    assert case.text(2) == alone("y" * 80, 2)


def test_a_sequence_that_finds_no_cells_waits_for_another_to_end() -> None:
    case = EngineCase(hashes, n_slots=2, n_ctx=100, context=FakeContext(hashes, n_cells=100))
    case.submit(1, "x" * 40, n_predict=30)
    case.submit(2, "y" * 50, n_predict=30)
    case.run()
    assert (case.text(1), case.text(2)) == (alone("x" * 40, 30), alone("y" * 50, 30))


def test_one_that_never_fits_fails_and_others_go_on() -> None:
    case = EngineCase(hashes, n_slots=2, n_ctx=100, context=FakeContext(hashes, n_cells=60))
    case.submit(1, "x" * 20, n_predict=30)
    case.submit(2, "y" * 70, n_predict=1)
    case.run()
    assert case.text(1) == alone("x" * 20, 30)
    assert case.failed(2).text == "the context has no room"


def test_logits_that_are_not_numbers_fail_that_sequence_only() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=3)
    case.submit(2, "n", n_predict=3)
    case.step()
    case.fake.bad_logits = {0}
    case.run()
    assert case.failed(1).kind is FailureKind.UNUSABLE_OUTPUT
    assert case.text(2) == "opq"


def test_what_is_not_a_number_does_not_stay_in_the_cells() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=3)
    case.submit(2, "n", n_predict=9)
    case.step()
    case.fake.bad_logits = {0}
    case.step()
    assert case.fake.n_rebuilt == 1 and case.fake.cells == []
    case.fake.bad_logits = set()
    case.submit(3, "f", n_predict=3)
    case.run()
    assert case.fake.n_rebuilt == 1 and case.text(2) == "opqrstuvw" and case.text(3) == "ghi"
