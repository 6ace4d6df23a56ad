"""Slots carry out what the prefix rules decide, on memories of different kinds."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.context_end import Shift
from models.engine.ports import Tokens
from models.engine.saved import SavedStates
from models.engine.sequence import Sequence, Task
from models.engine.slot import Slot
from models.engine.slots import BEFORE_END, Admission, Slots
from models.llama.outcome import Outcome
from models.runner.settings import Sampling
from models.sampling.sampler import Sampler
from models.sampling.whole import Scratch
from tests.fakes.context import N_VOCAB, ByteVocabulary, FakeContext, hashes


def tokens(text: str) -> Tokens:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def sequence(prompt: str) -> Sequence:
    task = Task(1, tokens(prompt), 0, Sampler(Sampling(), Scratch(N_VOCAB)), (), None, 4, None)
    return Sequence(task, ByteVocabulary(), now_ns=0)


def admit(slots: Slots, prompt: str) -> Slot:
    assert slots.admit(sequence(prompt), 0) is Admission.ADMITTED
    return slots.running[-1]


def compute(slots: Slots, context: FakeContext, slot: Slot) -> None:
    """Give every token of the slot a cell."""
    context.batch.clear()
    context.batch.n_batch = 1000
    context.batch.add(slot.seq_id, slot.pending, slot.n_computed, output=True)
    context.decode()
    slots.advance(slot, slot.n_pending)


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


def run(slots: Slots, context: FakeContext, *prompts: str) -> None:
    """One after the other, each computed to its end."""
    for prompt in prompts:
        slot = admit(slots, prompt)
        while slot.n_pending:
            context.batch.clear()
            context.batch.n_batch = 1000
            n = slot.n_next
            context.batch.add(slot.seq_id, slot.pending[:n], slot.n_computed, output=True)
            assert context.decode() is Outcome.DONE
            slots.advance(slot, n)
        slots.release(slot)


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


# ---- host memory -----------------------------------------------------------------------------------------------------

PROMPT = "a prompt that is long enough to be worth a copy, which takes some text to say, as you see here. "
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


# ---- cells of their own --------------------------------------------------------------------------------------------

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
