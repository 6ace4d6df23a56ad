"""What slots save to host memory, and what comes back from there."""

from __future__ import annotations

import pytest

from models.engine.saved import SavedStates
from models.engine.slots import BEFORE_END, Admission, Slots
from tests.fakes.context import FakeContext, hashes
from tests.models.engine.slots_case import PROMPT, admit, compute, run, sequence

MEMORIES = pytest.mark.parametrize(
    ("can_trim", "n_swa"), [(True, 0), (False, 0), (True, 8)], ids=["attention", "recurrent", "window"]
)


def slots_with_cache(context: FakeContext, *, limit_bytes: int = 10**6, token_s: float | None = None) -> Slots:
    return Slots(context, 1, 1000, SavedStates(limit_bytes, token_s=lambda: token_s, clock_ns=lambda: 0))


@MEMORIES
def test_what_loses_its_slot_comes_back(can_trim: bool, n_swa: int) -> None:
    context = FakeContext(hashes, can_trim=can_trim, n_swa=n_swa)
    slots = slots_with_cache(context)
    run(slots, context, PROMPT, "b" * 100)
    assert context.cells and context.n_restored == 0
    slot = admit(slots, PROMPT + "and more")
    assert slot.n_computed >= len(PROMPT) - BEFORE_END and context.n_restored == 1
    compute(slots, context, slot)
    assert bytes(context.tokens_of(0)[-8:]) == b"and more"


@MEMORIES
def test_a_prompt_that_parts_near_the_end_of_another_is_not_computed_anew(can_trim: bool, n_swa: int) -> None:
    context = FakeContext(hashes, can_trim=can_trim, n_swa=n_swa)
    slots = slots_with_cache(context)
    run(slots, context, PROMPT + "<think>", PROMPT + "no thoughts, and a reply", "b" * 100)
    assert admit(slots, PROMPT + "x").n_computed >= len(PROMPT) - BEFORE_END


@MEMORIES
def test_the_third_of_a_kind_starts_where_the_first_two_parted(can_trim: bool, n_swa: int) -> None:
    context = FakeContext(hashes, can_trim=can_trim, n_swa=n_swa)
    slots = slots_with_cache(context)
    run(slots, context, PROMPT + "x" * 50, PROMPT + "y" * 50)
    assert admit(slots, PROMPT + "z" * 50).n_computed == len(PROMPT)


def test_without_host_memory_nothing_is_copied() -> None:
    context = FakeContext(hashes, can_trim=False)
    slots = slots_with_cache(context, limit_bytes=0)
    run(slots, context, PROMPT, "b" * 100, PROMPT)
    assert (context.n_saved, context.n_restored) == (0, 0)


@pytest.mark.parametrize(("token_s", "n_saved"), [(1.0, 1), (1e-12, 0), (None, 1)])
def test_a_copy_is_made_only_where_computing_takes_longer(token_s: float | None, n_saved: int) -> None:
    context = FakeContext(hashes)
    slots = slots_with_cache(context, token_s=token_s)
    run(slots, context, PROMPT, "b" * 10)
    assert context.n_saved == n_saved


def test_what_another_slot_holds_is_not_copied() -> None:
    context = FakeContext(hashes, n_seq_max=2)
    slots = slots_with_cache(context)
    run(slots, context, PROMPT + "x", PROMPT + "yy", "b", "c")
    assert context.n_saved == 1  # of the first there is only a letter that the second has not


def test_the_longer_of_two_states_replaces_the_shorter() -> None:
    context = FakeContext(hashes)
    slots = slots_with_cache(context)
    run(slots, context, PROMPT, "b" * 10, PROMPT * 2, "c" * 10)
    assert context.n_saved == 2 and len(slots._saved) == 1


def test_a_state_without_cells_to_go_to_is_computed_anew() -> None:
    context = FakeContext(hashes, n_cells=150)
    slots = slots_with_cache(context)
    run(slots, context, PROMPT, "b" * 10)
    context.n_cells = 50
    assert admit(slots, PROMPT + "x").n_computed == 0 and context.cells == []


def test_a_parked_sequence_goes_on_from_its_copy() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 2, 1000, SavedStates(10**6, clock_ns=lambda: 0))
    other, parked = admit(slots, "other"), admit(slots, PROMPT)
    compute(slots, context, other)
    compute(slots, context, parked)
    parked.append(ord("!"))
    slots.park(parked)
    assert parked.n_computed == 0 and len(context.cells) == 5
    slots.release(other)
    assert not parked.is_parked and parked.n_computed == len(PROMPT)
    assert bytes(context.tokens_of(parked.seq_id)) == PROMPT.encode()


def test_idle_states_move_out_while_they_are_more_than_a_part_of_what_runs() -> None:
    context = FakeContext(hashes, n_seq_max=4)
    slots = Slots(context, 2, 4000, SavedStates(10**6, clock_ns=lambda: 0))
    run(slots, context, "a" * 400, "b" * 400)
    slots.trim_idle()
    assert len(context.cells) == 800, "nothing runs, nothing is in anybody's way"
    running = admit(slots, "c" * 1600)
    slots.trim_idle()
    slots.trim_idle()
    assert len(context.cells) == 400 and context.n_saved == 1, "a quarter of what runs may stay"
    slots.release(running)
    admit(slots, "d" * 100)
    slots.trim_idle()
    assert context.cells == [] and context.n_saved == 2


def test_what_idle_sequences_share_with_running_ones_is_in_nobodys_way() -> None:
    context = FakeContext(hashes, n_seq_max=4)
    slots = Slots(context, 2, 4000, SavedStates(10**6, clock_ns=lambda: 0))
    run(slots, context, "p" * 900 + "a" * 100, "p" * 900 + "b" * 100)
    admit(slots, "p" * 900 + "c" * 100)
    slots.trim_idle()
    assert context.n_saved == 0 and len(context.cells) == 900 + 2 * 100
    for slot in slots.running:
        slots.clear(slot)
    slots.trim_idle()
    assert len(context.cells) == 900 + 100, "shared among themselves they are"


def test_two_that_arrive_together_share_a_state_that_cannot_go_back() -> None:
    context = FakeContext(hashes, can_trim=False)
    slots = Slots(context, 2, 1000)
    first = admit(slots, PROMPT + "one")
    assert slots.admit(sequence(PROMPT + "two"), 0) is Admission.WAITS
    assert first.n_next == len(PROMPT)
    context.batch.clear()
    context.batch.n_batch = 1000
    context.batch.add(first.seq_id, first.pending[: first.n_next], 0, output=False)
    context.decode()
    slots.advance(first, first.n_next)
    assert admit(slots, PROMPT + "two").n_computed == len(PROMPT)
