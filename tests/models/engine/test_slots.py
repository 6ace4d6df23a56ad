"""Slots carry out what the prefix rules decide, on memories of different kinds."""

from __future__ import annotations

import pytest

from models.engine.context_end import Shift
from models.engine.slots import Admission, Slots
from tests.fakes.context import FakeContext, hashes
from tests.models.engine.slots_case import admit, compute, run, sequence


@pytest.mark.parametrize(
    ("can_trim", "n_swa", "n_reused"),
    [(True, 0, 6), (False, 0, 0), (True, 3, 6)],
    ids=["attention", "recurrent", "window"],
)
def test_a_common_prefix_is_kept_where_the_memory_can(can_trim: bool, n_swa: int, n_reused: int) -> None:
    context = FakeContext(hashes, can_trim=can_trim, n_swa=n_swa)
    slots = Slots(context, 1, 100)
    first = admit(slots, "commonOLD")
    compute(slots, context, first)
    slots.release(first)
    second = admit(slots, "commonNEW!")
    assert second.n_computed == n_reused
    compute(slots, context, second)
    assert bytes(context.tokens_of(0)[-4:]) == b"NEW!"


def test_a_window_that_has_moved_on_is_not_gone_back_to() -> None:
    context = FakeContext(hashes, n_swa=2)
    slots = Slots(context, 1, 100)
    first = admit(slots, "commonOLDOLDOLDOLD")
    compute(slots, context, first)
    slots.release(first)
    assert admit(slots, "commonNEW").n_computed == 0
    assert context.cells == []


def test_a_copied_prefix_shares_its_cells() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 2, 100)
    compute(slots, context, admit(slots, "common one"))
    second = admit(slots, "common two")
    compute(slots, context, second)
    assert second.n_computed == 10 and len(context.cells) == 10 + 3
    assert bytes(context.tokens_of(0)) == b"common one" and bytes(context.tokens_of(1)) == b"common two"


def test_a_released_slot_remembers_what_was_computed_only() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 1, 100)
    slot = admit(slots, "abc")
    compute(slots, context, slot)
    slot.append(ord("d"))
    slots.release(slot)
    assert bytes(slot.tokens.tolist()) == b"abc" and slots.running == []


def test_cells_that_nobody_shares_move() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 1, 100)
    slot = admit(slots, "keepDROPtail")
    compute(slots, context, slot)
    slot.append(ord("!"))
    slots.shift(slot, Shift(4, 4))
    assert bytes(slot.tokens.tolist()) == b"keeptail!" and slot.n_computed == 8
    assert bytes(context.tokens_of(0)) == b"keeptail"


@pytest.mark.parametrize("can_shift", [True, False])
def test_shared_cells_stay_and_the_rest_is_computed_again(can_shift: bool) -> None:
    context = FakeContext(hashes, can_shift=can_shift)
    slots = Slots(context, 2, 100)
    first = admit(slots, "keepDROPtail1")
    compute(slots, context, first)
    compute(slots, context, admit(slots, "keepDROPtail2"))
    slots.shift(first, Shift(4, 4))
    assert bytes(first.tokens.tolist()) == b"keeptail1" and first.n_computed == 4
    assert bytes(context.tokens_of(1)) == b"keepDROPtail2"


def test_a_state_that_cannot_go_back_is_computed_anew_after_a_shift() -> None:
    context = FakeContext(hashes, can_trim=False)
    slots = Slots(context, 1, 100)
    slot = admit(slots, "keepDROPtail")
    compute(slots, context, slot)
    slots.shift(slot, Shift(4, 4))
    assert bytes(slot.tokens.tolist()) == b"keeptail" and slot.n_computed == 0 and context.cells == []


# ---- more sequences than run at once ---------------------------------------------------------------------------------


def test_finished_sequences_stay_in_spare_slots() -> None:
    context = FakeContext(hashes, n_seq_max=4)
    slots = Slots(context, 1, 100)
    run(slots, context, "first conversation", "second one", "third one")
    assert admit(slots, "first conversation goes on").n_computed == len("first conversation")
    assert slots.admit(sequence("another"), 0) is Admission.NO_ROOM


def test_the_one_used_longest_ago_makes_room() -> None:
    context = FakeContext(hashes, n_seq_max=2)
    slots = Slots(context, 1, 100)
    run(slots, context, "aaaa", "bbbb", "aaaa+", "cccc")
    assert {bytes(context.tokens_of(seq_id)) for seq_id in range(2)} == {b"aaaa+", b"cccc"}


def test_idle_cells_go_one_sequence_after_the_other() -> None:
    context = FakeContext(hashes, n_seq_max=3)
    slots = Slots(context, 1, 100)
    run(slots, context, "aaaa", "bbbb", "cccc")
    assert [slots.evict_idle() for _ in range(4)] == [True, True, True, False]
    assert context.cells == []


def test_nobody_is_admitted_whom_the_cells_would_not_hold() -> None:
    context = FakeContext(hashes, n_cells=300)
    slots = Slots(context, 3, 200)
    admit(slots, "a" * 100)
    assert slots.admit(sequence("b" * 100), 0) is Admission.NO_ROOM
    admit(slots, "c" * 20)


def test_as_many_as_have_a_whole_context_are_admitted() -> None:
    context = FakeContext(hashes, n_cells=600)
    slots = Slots(context, 3, 200)
    for name in "abc":
        admit(slots, name * 190)


def test_one_that_is_alone_is_admitted_in_any_case() -> None:
    slots = Slots(FakeContext(hashes, n_cells=10), 2, 200)
    assert slots.admit(sequence("a" * 100), 0) is Admission.ADMITTED
