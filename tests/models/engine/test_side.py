"""Long prompts are computed apart from many cells of others, and nobody notices."""

from __future__ import annotations

import pytest

from models.engine.side import Side
from models.errors import ContextLost, LoadError
from models.llama.outcome import Outcome
from models.runner.messages import Reason
from tests.fakes.context import FakeContext, hashes
from tests.models.engine.engine_case import EngineCase

OTHERS = "o" * 600
LONG = "a long prompt, " * 40


class Aside(EngineCase):
    """An engine with a side context; `opened` are the contexts that it made."""

    def __init__(self, *, n_most: int = 4096, n_cells: int = 4096, opened: list[FakeContext] | None = None) -> None:
        self.opened: list[FakeContext] = [] if opened is None else opened
        side = Side(self._open, n_most)
        super().__init__(hashes, n_ctx=2000, context=FakeContext(hashes, n_cells=n_cells), side=side)

    def _open(self, n_cells: int) -> FakeContext:
        self.opened.append(FakeContext(hashes, n_cells=n_cells))
        return self.opened[-1]

    @property
    def n_apart(self) -> int:
        """Tokens computed in the side context."""
        return sum(sum(step.values()) for context in self.opened for step in context.steps)


def alone(prompt: str, n: int) -> str:
    case = EngineCase(hashes, n_ctx=2000)
    case.submit(1, prompt, n_predict=n)
    case.run()
    return case.text(1)


def test_a_long_prompt_beside_many_cells_is_computed_apart() -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=60)
    case.step(20)
    case.submit(2, LONG, n_predict=20)
    case.run()
    assert case.n_apart == len(LONG)
    assert (case.text(1), case.text(2)) == (alone(OTHERS, 60), alone(LONG, 20))
    assert case.opened[0].cells == [] and len(case.opened) == 1


def test_those_who_decode_take_part_in_every_step() -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=100)
    case.step(20)
    n_said = len(case.text(1))
    case.submit(2, LONG, n_predict=1)
    case.step(5)
    assert len(case.text(1)) == n_said + 5


@pytest.mark.parametrize(
    ("others", "prompt"), [("few", LONG), (OTHERS, "short"), (OTHERS, OTHERS + "and a little more")]
)
def test_short_prompts_and_those_that_others_began_are_not(others: str, prompt: str) -> None:
    case = Aside()
    case.submit(1, others, n_predict=60)
    case.step(20)
    case.submit(2, prompt, n_predict=5)
    case.run()
    assert case.n_apart == 0 and case.text(2) == alone(prompt, 5)


def test_one_that_would_not_fit_stays() -> None:
    case = Aside(n_most=300)
    case.submit(1, OTHERS, n_predict=60)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.run()
    assert case.n_apart == 0


def test_others_take_the_prefix_when_it_is_back() -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=100)
    case.step(20)
    case.submit(2, LONG + "one", n_predict=5)
    case.step(2)
    case.submit(3, LONG + "two", n_predict=5)
    case.run()
    assert case.finished(3).n_cached == len(LONG)
    assert (case.text(2), case.text(3)) == (alone(LONG + "one", 5), alone(LONG + "two", 5))


def test_it_can_be_cancelled_there_and_another_comes() -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=100)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.step(2)
    case.engine.cancel(2)
    case.submit(3, "x" + LONG, n_predict=5)
    case.run()
    assert case.finished(2).reason is Reason.CANCELLED
    assert case.text(3) == alone("x" + LONG, 5)


@pytest.mark.parametrize("failure", [Outcome.NO_ROOM, Outcome.REFUSED])
def test_what_does_not_work_there_is_done_here(failure: Outcome) -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=100)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.step(2)
    case.opened[0].failures = [failure] * 100
    case.run()
    assert case.text(2) == alone(LONG, 5)


def test_a_lost_side_context_fails_that_request_only() -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=100)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.step(2)
    case.opened[0].failures = [ContextLost("boom")]
    case.submit(3, "x" + LONG, n_predict=5)
    case.run()
    assert case.failed(2).text == "boom" and case.opened[0].is_closed
    assert (case.text(1), case.text(3)) == (alone(OTHERS, 100), alone("x" + LONG, 5))


def test_when_the_main_context_is_lost_it_starts_again() -> None:
    case = Aside()
    case.submit(1, OTHERS, n_predict=100)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.step(2)
    case.fake.failures = [ContextLost("boom")]
    case.run()
    assert case.failed(1).text == "boom" and case.text(2) == alone(LONG, 5)


def test_without_memory_for_it_everything_goes_on() -> None:
    def fail(n_cells: int) -> FakeContext:
        raise LoadError("no memory")

    case = EngineCase(hashes, n_ctx=2000, side=Side(fail, 4096))
    case.submit(1, OTHERS, n_predict=60)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.run()
    assert case.text(2) == alone(LONG, 5)


def test_without_cells_to_come_back_to_it_is_computed_again() -> None:
    case = Aside(n_cells=1260)
    case.submit(1, OTHERS, n_predict=40)
    case.step(20)
    case.submit(2, LONG, n_predict=5)
    case.step(3)
    case.fake.n_cells = 700  # as if the cells had been promised twice
    case.run()
    assert case.text(2) == alone(LONG, 5) and case.text(1) == alone(OTHERS, 40)
