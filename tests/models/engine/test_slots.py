"""Slots carry out what the prefix rules decide, on memories of different kinds."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.context_end import Shift
from models.engine.ports import Tokens
from models.engine.sequence import Sequence, Task
from models.engine.slots import Slot, Slots
from models.runner.messages import Sampling
from models.sampling.sampler import Sampler
from models.sampling.shortlist import Scratch
from tests.fakes.context import N_VOCAB, ByteVocabulary, FakeContext, hashes


def tokens(text: str) -> Tokens:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def sequence(prompt: str) -> Sequence:
    task = Task(1, tokens(prompt), 0, Sampler(Sampling(), Scratch(N_VOCAB)), (), None, 4, None)
    return Sequence(task, ByteVocabulary(), now_ns=0)


def admit(slots: Slots, prompt: str) -> Slot:
    assert slots.admit(sequence(prompt), 0)
    return slots.running[-1]


def compute(context: FakeContext, slot: Slot) -> None:
    """Give every token of the slot a cell."""
    context.batch.clear()
    context.batch.n_batch = 1000
    context.batch.add(slot.seq_id, slot.pending, slot.n_computed, output=True)
    context.decode()
    slot.n_computed = slot.n_tokens


@pytest.mark.parametrize(
    ("can_trim", "n_swa", "n_reused"),
    [(True, 0, 6), (False, 0, 0), (True, 3, 6)],
    ids=["attention", "recurrent", "window"],
)
def test_a_common_prefix_is_kept_where_the_memory_can(can_trim: bool, n_swa: int, n_reused: int) -> None:
    context = FakeContext(hashes, can_trim=can_trim, n_swa=n_swa)
    slots = Slots(context, 1, 100)
    first = admit(slots, "commonOLD")
    compute(context, first)
    slots.release(first)
    second = admit(slots, "commonNEW!")
    assert second.n_computed == n_reused
    compute(context, second)
    assert bytes(context.tokens_of(0)[-4:]) == b"NEW!"


def test_a_window_that_has_moved_on_is_not_gone_back_to() -> None:
    context = FakeContext(hashes, n_swa=2)
    slots = Slots(context, 1, 100)
    first = admit(slots, "commonOLDOLDOLDOLD")
    compute(context, first)
    slots.release(first)
    assert admit(slots, "commonNEW").n_computed == 0
    assert context.cells == []


def test_a_copied_prefix_shares_its_cells() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 2, 100)
    compute(context, admit(slots, "common one"))
    second = admit(slots, "common two")
    compute(context, second)
    assert second.n_computed == 10 and len(context.cells) == 10 + 3
    assert bytes(context.tokens_of(0)) == b"common one" and bytes(context.tokens_of(1)) == b"common two"


def test_a_released_slot_remembers_what_was_computed_only() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 1, 100)
    slot = admit(slots, "abc")
    compute(context, slot)
    slot.append(ord("d"))
    slots.release(slot)
    assert bytes(slot.tokens.tolist()) == b"abc" and slots.running == []


def test_cells_that_nobody_shares_move() -> None:
    context = FakeContext(hashes)
    slots = Slots(context, 1, 100)
    slot = admit(slots, "keepDROPtail")
    compute(context, slot)
    slot.append(ord("!"))
    slots.shift(slot, Shift(4, 4))
    assert bytes(slot.tokens.tolist()) == b"keeptail!" and slot.n_computed == 8
    assert bytes(context.tokens_of(0)) == b"keeptail"


@pytest.mark.parametrize("can_shift", [True, False])
def test_shared_cells_stay_and_the_rest_is_computed_again(can_shift: bool) -> None:
    context = FakeContext(hashes, can_shift=can_shift)
    slots = Slots(context, 2, 100)
    first = admit(slots, "keepDROPtail1")
    compute(context, first)
    compute(context, admit(slots, "keepDROPtail2"))
    slots.shift(first, Shift(4, 4))
    assert bytes(first.tokens.tolist()) == b"keeptail1" and first.n_computed == 4
    assert bytes(context.tokens_of(1)) == b"keepDROPtail2"


def test_a_state_that_cannot_go_back_is_computed_anew_after_a_shift() -> None:
    context = FakeContext(hashes, can_trim=False)
    slots = Slots(context, 1, 100)
    slot = admit(slots, "keepDROPtail")
    compute(context, slot)
    slots.shift(slot, Shift(4, 4))
    assert bytes(slot.tokens.tolist()) == b"keeptail" and slot.n_computed == 0 and context.cells == []
