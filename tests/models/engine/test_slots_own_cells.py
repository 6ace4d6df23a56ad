"""Slots of a context in which each sequence has its own cells."""

from __future__ import annotations

import pytest

from models.engine.saved import SavedStates
from models.engine.slot import Slot
from models.engine.slots import Slots
from tests.fakes.context import FakeContext, hashes
from tests.models.engine.slots_case import admit, compute

LONG = "a prefix that takes longer to compute than to copy, by far: " * 3


class OwnCells:
    """Slots of a context in which each sequence has its own cells."""

    def __init__(self, n: int, *, cache_bytes: int = 10**6, token_s: float = 1.0) -> None:
        self.context = FakeContext(hashes, n_batch=4000, shares_cells=False)
        self.saved = SavedStates(cache_bytes, token_s=lambda: token_s, clock_ns=lambda: 0)
        self.slots = Slots(self.context, n, 4000, self.saved)

    def admit(self, prompt: str) -> Slot:
        slot = admit(self.slots, prompt)
        compute(self.slots, self.context, slot)
        return slot

    @property
    def running(self) -> list[int]:
        return [slot.seq_id for slot in self.slots.running]


def test_a_prefix_is_copied_into_cells_of_its_own() -> None:
    own = OwnCells(2)
    own.admit(LONG + "one")
    second = own.admit(LONG + "two")
    assert second.sequence is not None and second.sequence.n_cached == len(LONG)
    assert bytes(own.context.tokens_of(0)) == (LONG + "one").encode()
    assert bytes(own.context.tokens_of(1)) == (LONG + "two").encode()


@pytest.mark.parametrize(("cache_bytes", "n_saved"), [(10**6, 1), (0, 3)])
def test_what_was_copied_once_is_there_for_the_next(cache_bytes: int, n_saved: int) -> None:
    own = OwnCells(4, cache_bytes=cache_bytes)
    for end in "abcd":
        own.admit(LONG + end)
    assert (own.context.n_saved, own.context.n_restored) == (n_saved, 3)


def test_a_little_of_a_long_sequence_is_computed_rather_than_copied() -> None:
    own = OwnCells(2, token_s=1e-9)
    own.admit("ab" + LONG)
    assert own.admit("abc").sequence.n_cached == 0  # type: ignore[union-attr]


def test_a_new_sequence_runs_next_to_the_others() -> None:
    own = OwnCells(5)
    own.slots.release(own.admit(LONG))
    chat = own.slots.all[0]
    for text in ("1", "2", "3", "4"):
        own.admit(text)
    for slot in own.slots.running[:1] + own.slots.running[2:]:
        own.slots.release(slot)
    assert len(own.running) == 1
    again = own.admit(LONG + "and on")
    assert abs(again.seq_id - own.running[0]) == 1 and again.sequence.n_cached == len(LONG)  # type: ignore[union-attr]
    assert chat.n_computed == len(LONG) or chat is again


def test_a_gap_is_closed_by_whom_it_costs_least() -> None:
    own = OwnCells(4)
    texts = ["the first of them, quite long", "gap", "next", "last"]
    slots = [own.admit(text) for text in texts]
    own.slots.release(slots[1])
    own.slots.close_gap()
    assert sorted(own.running) == [0, 1, 2] and slots[3].seq_id == 1 and slots[1].seq_id == 3
    assert [own.slots.all[slot.seq_id] for slot in slots] == slots
    for text, slot in zip(texts, slots, strict=True):
        if slot.sequence is not None:
            assert bytes(own.context.tokens_of(slot.seq_id)) == text.encode()
    assert own.context.span(3) == (-1, -1)


def test_what_the_gap_held_is_saved() -> None:
    own = OwnCells(3)
    slots = [own.admit(text) for text in ("first", LONG, "last")]
    own.slots.release(slots[1])
    own.slots.close_gap()
    own.slots.release(slots[2])
    assert own.admit(LONG + "goes on").sequence.n_cached == len(LONG)  # type: ignore[union-attr]


def test_a_state_that_takes_long_to_move_stays() -> None:
    own = OwnCells(3)
    own.saved.measure(2**20, started_ns=-(10**15))
    slots = [own.admit(text) for text in ("first", "gap", "last")]
    own.slots.release(slots[1])
    own.slots.close_gap()
    assert own.running == [0, 2]
