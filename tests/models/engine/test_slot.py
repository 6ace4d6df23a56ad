"""The bookkeeping of one slot."""

from __future__ import annotations

import numpy as np

from models.engine.slot import Slot
from tests.models.engine.test_slots import sequence


def started(n_prompt: int, *stops: int) -> Slot:
    slot = Slot(0, 1000)
    slot.start(sequence("x" * n_prompt), 0)
    for n in stops:
        slot.stop_at(n)
    return slot


def test_a_step_goes_as_far_as_the_next_stop() -> None:
    slot = started(100, 70, 30)
    seen = []
    while slot.n_pending:
        n = slot.n_next
        seen.append((n, slot.advance(n)))
    assert seen == [(30, True), (40, True), (30, False)]


def test_stops_outside_of_what_is_pending_do_not_count() -> None:
    slot = started(100, 100, 0, 200)
    slot.advance(50)
    slot.stop_at(50)
    slot.stop_at(20)
    assert slot.n_next == 50


def test_whoever_goes_past_several_stops_has_none_left_behind() -> None:
    slot = started(100, 20, 30, 80)
    assert slot.advance(50) and slot.n_next == 30


def test_what_is_cut_out_moves_the_rest_up() -> None:
    slot = started(6)
    slot.append(7)
    slot.cut(1, 4)
    assert slot.tokens.tolist() == [*np.frombuffer(b"xxx", np.uint8), 7]
