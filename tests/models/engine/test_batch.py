"""Which tokens the next step computes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from models.engine.batch import plan_batch


@dataclass(frozen=True)
class Waiting:
    n_pending: int
    n_stop: int = 10_000

    @property
    def n_next(self) -> int:
        return min(self.n_pending, self.n_stop)


@pytest.mark.parametrize(
    ("pending", "n_prefill", "expected"),
    [
        pytest.param([1, 1, 1], 10, [1, 1, 1], id="everyone who decodes gets a token"),
        pytest.param([100], 10, [10], id="a prompt gets what there is"),
        pytest.param([7], 10, [7], id="or what it needs"),
        pytest.param([1, 100, 1], 10, [1, 10, 1], id="decoding goes beside a prompt"),
        pytest.param([100, 100], 10, [10, 0], id="long prompts one after the other"),
        pytest.param([8, 100, 100], 10, [8, 2, 0], id="what the first does not need goes to the next"),
        pytest.param([100, 3, 100], 10, [7, 3, 0], id="a short one is completed beside a long one"),
        pytest.param([100, 3, 3, 2], 10, [5, 3, 0, 2], id="short ones get half at most"),
        pytest.param([3, 3, 3, 3], 10, [3, 3, 3, 1], id="many short ones fill it"),
        pytest.param([100, 6], 10, [10, 0], id="what is longer than half has to wait"),
        pytest.param([1] * 20, 10, [1] * 16 + [0] * 4, id="never more than the batch holds"),
        pytest.param([1] * 10 + [100], 50, [1] * 10 + [6], id="prompts get what decoding leaves of the batch"),
        pytest.param([0, 1], 10, [0, 1], id="nothing pending, nothing computed"),
        pytest.param([], 10, [], id="nobody there"),
    ],
)
def test_the_next_step(pending: list[int], n_prefill: int, expected: list[int]) -> None:
    slots = [Waiting(n) for n in pending]
    parts = plan_batch(slots, n_batch=16, n_prefill=n_prefill)
    got = {id(part.slot): part.n for part in parts}
    assert [got.get(id(slot), 0) for slot in slots] == expected


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        pytest.param([8, 100, 100], [8, 0, 0], id="no prompt is begun"),
        pytest.param([8, 100, 2], [8, 0, 2], id="short ones are completed"),
        pytest.param([3, 3, 3, 3], [3, 3, 3, 0], id="as many as there is room for"),
        pytest.param([100, 3, 100], [7, 3, 0], id="the first gets what there is"),
        pytest.param([1] * 10 + [100], [1] * 10 + [10], id="those who decode take nobody's place"),
    ],
)
def test_prompts_that_are_computed_apart(pending: list[int], expected: list[int]) -> None:
    slots = [Waiting(n) for n in pending]
    parts = plan_batch(slots, n_batch=16, n_prefill=10, apart=True)
    got = {id(part.slot): part.n for part in parts}
    assert [got.get(id(slot), 0) for slot in slots] == expected


def test_logits_are_wanted_of_a_sequences_last_token_only() -> None:
    parts = plan_batch([Waiting(1), Waiting(50), Waiting(5)], n_batch=64, n_prefill=20)
    assert [(part.n, part.output) for part in parts] == [(1, True), (15, False), (5, True)]


def test_a_prompt_is_not_computed_past_its_stop() -> None:
    parts = plan_batch([Waiting(50, n_stop=12), Waiting(30)], n_batch=64, n_prefill=40)
    assert [(part.n, part.output) for part in parts] == [(12, False), (28, False)]
    (last,) = plan_batch([Waiting(50, n_stop=50)], n_batch=64, n_prefill=64)
    assert (last.n, last.output) == (50, True)
