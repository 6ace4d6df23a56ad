"""The trial's verdict, with contexts that are slow, wrong or lacking on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from models.errors import ContextLost
from models.llama.backend_trial import Trial, usual_chain
from models.llama.outcome import Outcome
from models.sampling.backend import GREEDY, BackendChain
from models.sampling.chain import Floats
from tests.fakes.context import FakeBatch

N_VOCAB = 100


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class TimedContext:
    """A decode takes `decode_s`, and to read what came of one row `row_s`."""

    clock: Clock
    decode_s: float = 0.010
    row_s: float = 0.0
    token: int | None = N_VOCAB - 1
    missing: set[str] = field(default_factory=set)
    outcome: Outcome = Outcome.DONE
    n_vocab: int = N_VOCAB
    chains: dict[int, BackendChain | None] = field(default_factory=dict)
    batch: FakeBatch = field(default_factory=lambda: FakeBatch(8))
    positions: list[int] = field(default_factory=list)

    def decode(self) -> Outcome:
        self.clock.now += self.decode_s
        self.positions.append(self.batch.parts[0][2])
        return self.outcome

    def logits(self) -> Floats:
        self.clock.now += self.row_s * len(self.batch.parts)
        return np.array([np.arange(N_VOCAB)] * len(self.batch.parts), dtype=np.float32)

    def pick_by(self, seq_id: int, chain: BackendChain | None) -> None:
        self.chains[seq_id] = chain

    def picked(self, row: int) -> int | None:
        self.clock.now += self.row_s
        return self.token

    @property
    def unsupported_filters(self) -> set[str]:
        return self.missing if None not in self.chains.values() else set()


def trial(plain: TimedContext, picking: TimedContext) -> Trial:
    return Trial(plain=plain, picking=picking, n_sequences=2)  # type: ignore[arg-type]


PROBLEMS = {
    "none": ({}, None),
    "an operation": ({"missing": {"top-k", "dist"}}, "it has not all operations for dist, top-k"),
    "no token": ({"token": None}, "it picks tokens that have no chance"),
    "no such token": ({"token": N_VOCAB}, "it picks tokens that have no chance"),
    "one that is not the best": ({"token": N_VOCAB - 2}, "it picks tokens that have no chance"),
}


@pytest.mark.parametrize(("fields", "problem"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_is_wrong_is_found(fields: dict[str, object], problem: str | None) -> None:
    clock = Clock()
    found = trial(TimedContext(clock), TimedContext(clock, **fields)).problem()  # type: ignore[arg-type]
    assert found == problem


def test_both_kinds_of_chain_are_tried_and_the_usual_one_is_left() -> None:
    clock = Clock()
    context = TimedContext(clock)
    assert trial(TimedContext(clock), context).problem() is None
    assert set(context.chains.values()) == {usual_chain(N_VOCAB)} and usual_chain(N_VOCAB) != GREEDY
    assert len(context.positions) == 2


TIMES = {
    "faster by far": (0.001, 0.010, 0.0, True),
    "faster by what rounding does": (0.00002, 0.010, 0.0, False),
    "as fast": (0.0, 0.010, 0.0, False),
    "slower": (0.001, 0.013, 0.0, False),
    "slower to read": (0.001, 0.010, 0.002, False),
}


@pytest.mark.parametrize(("copy_s", "decode_s", "read_s", "is_faster"), TIMES.values(), ids=TIMES)
def test_the_way_that_clearly_takes_less_time_wins(
    copy_s: float, decode_s: float, read_s: float, is_faster: bool
) -> None:
    clock = Clock()
    plain = TimedContext(clock, row_s=copy_s)
    picking = TimedContext(clock, decode_s=decode_s, row_s=read_s)
    assert trial(plain, picking).is_faster(clock) is is_faster
    assert plain.positions == picking.positions == list(range(len(plain.positions))), "a sequence goes on where it was"


def test_steps_that_take_long_are_not_tried_for_long() -> None:
    clock = Clock()
    plain = TimedContext(clock, decode_s=0.5, row_s=0.1)
    assert not trial(plain, TimedContext(clock, decode_s=0.5)).is_faster(clock)
    assert len(plain.positions) <= 3


def test_a_context_that_cannot_compute_ends_the_trial() -> None:
    clock = Clock()
    with pytest.raises(ContextLost):
        trial(TimedContext(clock), TimedContext(clock, outcome=Outcome.NO_ROOM)).problem()


def test_a_tiny_vocabulary_has_its_own_usual_chain() -> None:
    assert usual_chain(39) == GREEDY
