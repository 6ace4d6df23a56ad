"""The engine: many generations at once, one step at a time, each of which may be cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from models.runner.messages import Reason
from models.runner.settings import Sampling
from tests.fakes.context import FakeContext, counts, hashes
from tests.models.engine.engine_case import EngineCase, alone


def test_sequences_share_steps_and_say_what_they_would_say_alone() -> None:
    case = EngineCase(hashes)
    prompts = {i: f"prompt number {i} is this" for i in range(4)}
    for request_id, prompt in prompts.items():
        case.submit(request_id, prompt, n_predict=20)
    case.run()
    assert {i: case.text(i) for i in prompts} == {i: alone(prompt, 20) for i, prompt in prompts.items()}
    assert {0: 1, 1: 1, 2: 1, 3: 1} in case.fake.steps


def test_newcomers_join_and_leave_between_two_steps() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=10)
    case.step(3)
    case.submit(2, "n", n_predict=2)
    case.step()
    assert (case.text(1), case.text(2)) == ("bcde", "o")
    case.run()
    assert (case.text(1), case.text(2)) == ("bcdefghijk", "op")


def test_more_requests_than_slots_are_served_in_their_order() -> None:
    case = EngineCase(counts, n_slots=2)
    for request_id in range(6):
        case.submit(request_id, "a", n_predict=3)
    case.run()
    assert [case.text(request_id) for request_id in range(6)] == ["bcd"] * 6
    assert list(case.heard) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", [{"shares_cells": False}, {"n_swa": 8}], ids=["cells of their own", "windows"])
def test_where_unequal_parts_do_harm_those_who_decode_come_first_and_prompts_apart(kind: dict[str, Any]) -> None:
    case = EngineCase(counts, context=FakeContext(counts, **kind))
    case.submit(1, "a", n_predict=9)
    case.submit(2, "b", n_predict=9)
    case.step()
    case.submit(3, "x" * 20, n_predict=9)
    case.submit(4, "y" * 20, n_predict=9)
    n_before = len(case.fake.steps)
    case.step()
    assert case.fake.steps[n_before:] == [{0: 1, 1: 1}, {2: 20, 3: 20}]


def test_prompts_of_different_lengths_with_windows_are_computed_one_after_the_other() -> None:
    """Else llama.cpp may cut the batch, and lose what its first part needs (see `Planner.groups`)."""
    case = EngineCase(counts, context=FakeContext(counts, n_swa=8))
    for request_id, n in enumerate((20, 30, 20)):
        case.submit(request_id, "xyz"[request_id] * n, n_predict=2)
    case.run()
    assert all(len(set(step.values())) == 1 for step in case.fake.steps)
    assert [case.text(request_id) for request_id in range(3)] == ["yz", "za", "ab"]


def test_a_long_prompt_does_not_hold_up_those_who_decode() -> None:
    case = EngineCase(counts, n_ctx=2000)
    case.submit(1, "a", n_predict=30)
    case.step()
    case.submit(2, "x" * 1000, n_predict=1)
    for _ in range(10):
        case.step()
        assert case.fake.steps[-1][0] == 1, "the one who decodes takes part in every step"
    assert len(case.text(1)) == 11
    case.run()
    assert case.text(2) == "y"


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    case = EngineCase(counts, n_ctx=4000)
    case.submit(1, "x" * 2000, n_predict=1)
    case.step()
    case.submit(2, "short prompt a", n_predict=1)
    case.step()
    assert case.text(2) == "b" and case.text(1) == ""


def test_sampling_with_a_seed_is_the_same_beside_others() -> None:
    options = Sampling(temperature=2.0, seed=3)
    wanted = alone("same", 30, sampling=options)
    case = EngineCase(hashes)
    case.submit(1, "other", n_predict=40, sampling=Sampling(temperature=2.0, seed=4))
    case.submit(2, "same", n_predict=30, sampling=options)
    case.run()
    assert case.text(2) == wanted


# ---- cancelling ----------------------------------------------------------------------------------------------------


def test_a_cancelled_generation_ends_before_the_next_step() -> None:
    case = EngineCase(counts)
    case.submit(1, "a")
    case.step(3)
    case.engine.cancel(1)
    n_steps = len(case.fake.steps)
    case.run()
    assert case.finished(1).reason is Reason.CANCELLED and len(case.fake.steps) == n_steps


def test_a_prompt_can_be_cancelled_while_it_is_computed() -> None:
    case = EngineCase(counts, n_ctx=4000)
    case.submit(1, "x" * 2000)
    case.step(2)
    case.engine.cancel(1)
    case.run()
    assert (case.finished(1).reason, case.text(1)) == (Reason.CANCELLED, "")
    assert sum(step.get(0, 0) for step in case.fake.steps) < 2000


def test_a_waiting_request_can_be_cancelled() -> None:
    case = EngineCase(counts, n_slots=1)
    case.submit(1, "a", n_predict=5)
    case.submit(2, "b", n_predict=5)
    case.step()
    case.engine.cancel(2)
    case.run()
    assert (case.finished(2).reason, case.text(1)) == (Reason.CANCELLED, "bcdef")


def test_cancelling_what_has_ended_is_heard_by_nobody() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=1)
    case.run()
    case.engine.cancel(1)
    case.engine.cancel(99)
    case.run()
    assert case.finished(1).reason is Reason.LIMIT and list(case.heard) == [1]


def test_a_cancelled_slot_serves_the_next_one() -> None:
    case = EngineCase(hashes, n_slots=1)
    case.submit(1, "first prompt", n_predict=50)
    case.step(5)
    case.engine.cancel(1)
    case.submit(2, "second prompt", n_predict=10)
    case.run()
    assert case.text(2) == alone("second prompt", 10)
