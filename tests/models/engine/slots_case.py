"""Slots on a fake context, and what fills them."""

from __future__ import annotations

import numpy as np

from models.engine.ports import Tokens
from models.engine.sequence import Sequence, Task
from models.engine.slot import Slot
from models.engine.slots import Admission, Slots
from models.llama.outcome import Outcome
from models.runner.settings import Sampling
from models.sampling.passes import passes_for
from models.sampling.sampler import Sampler
from tests.fakes.context import N_VOCAB, ByteVocabulary, FakeContext

PROMPT = "a prompt that is long enough to be worth a copy, which takes some text to say, as you see here. "


def tokens(text: str) -> Tokens:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def sequence(prompt: str) -> Sequence:
    task = Task(1, tokens(prompt), 0, Sampler(Sampling(), passes_for(N_VOCAB)), (), None, 4, None)
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
