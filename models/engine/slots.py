"""The places where sequences run, and what their cells hold."""

from __future__ import annotations

import numpy as np

from models.engine.context_end import Shift
from models.engine.ports import Context, Tokens
from models.engine.prefix import Holding, MemoryRules, NotYet, Placement, place
from models.engine.sequence import Sequence


class Slot:
    """One place in the context: the tokens of its sequence, how many of them have cells, and who runs there.

    When a sequence ends its cells stay, for one that begins alike.
    """

    def __init__(self, seq_id: int, n_ctx: int) -> None:
        self.seq_id = seq_id
        self.sequence: Sequence | None = None
        self.n_tokens = 0
        self.n_computed = 0
        self.n_reusable = n_ctx
        """Beyond so many tokens the state came about otherwise than by computing the tokens (see `shift`)."""
        self.n_shared = 0
        """So many of the first cells may belong to other sequences too."""
        self.is_parked = False
        """Waits for cells, until another sequence ends."""
        self.last_used = 0
        self._tokens = np.zeros(n_ctx + 1, dtype=np.int32)

    @property
    def tokens(self) -> Tokens:
        return self._tokens[: self.n_tokens]

    @property
    def pending(self) -> Tokens:
        """Tokens to compute; one while decoding, many during prefill."""
        return self._tokens[self.n_computed : self.n_tokens]

    @property
    def n_pending(self) -> int:
        return self.n_tokens - self.n_computed

    def set_tokens(self, tokens: Tokens, n_computed: int) -> None:
        self._tokens[: len(tokens)] = tokens
        self.n_tokens, self.n_computed = len(tokens), n_computed

    def append(self, token: int) -> None:
        self._tokens[self.n_tokens] = token
        self.n_tokens += 1

    def cut(self, start: int, end: int) -> None:
        """Drop the tokens start … end - 1; the rest moves up."""
        self._tokens[start : self.n_tokens - (end - start)] = self._tokens[end : self.n_tokens].copy()
        self.n_tokens -= end - start

    def holding(self, low: int) -> Holding:
        return Holding(
            slot=self.seq_id,
            is_free=self.sequence is None,
            tokens=self.tokens,
            n_computed=self.n_computed,
            n_reusable=self.n_reusable,
            low=low,
            last_used=self.last_used,
        )


class Slots:
    """All slots of a context; carries out what the prefix rules decide."""

    def __init__(self, context: Context, n_slots: int, n_ctx: int) -> None:
        self._context = context
        self._n_ctx = n_ctx
        self._rules = MemoryRules(can_trim=context.can_trim, n_swa=context.n_swa)
        self._clock = 0
        self.all = [Slot(seq_id, n_ctx) for seq_id in range(n_slots)]
        self.running: list[Slot] = []
        """Those with a sequence, in the order in which these came."""

    @property
    def has_free(self) -> bool:
        return len(self.running) < len(self.all)

    def admit(self, sequence: Sequence, now_ns: int) -> bool:
        """Give the sequence a slot, with as much of its prompt as is computed already. False: not yet."""
        holdings = [slot.holding(self._low(slot)) for slot in self.all]
        placement = place(sequence.task.prompt, holdings, self._rules)
        if isinstance(placement, NotYet):
            return False
        n_reused = self._adopt(placement)
        slot = self.all[placement.slot]
        slot.set_tokens(sequence.task.prompt, n_reused)
        slot.sequence = sequence
        self.running.append(slot)
        sequence.begin(n_reused, now_ns)
        return True

    def release(self, slot: Slot) -> None:
        """The sequence has ended; its cells stay."""
        self._clock += 1
        slot.last_used = self._clock
        slot.n_tokens = slot.n_computed
        slot.sequence = None
        self.running.remove(slot)
        for other in self.all:
            other.is_parked = False

    def clear(self, slot: Slot) -> None:
        """Forget the cells; a sequence that runs there will compute all of its tokens again."""
        self._context.forget(slot.seq_id)
        self._reset(slot)

    def park(self, slot: Slot) -> None:
        """Give up a running sequence's cells; it goes on, from its tokens, when another one has ended."""
        self.clear(slot)
        slot.is_parked = True

    def clear_all(self) -> None:
        """The context was built anew."""
        for slot in self.all:
            self._reset(slot)

    def evict_idle(self) -> bool:
        """Forget what free slots hold. False: they held nothing."""
        idle = [slot for slot in self.all if slot.sequence is None and slot.n_computed]
        for slot in idle:
            self.clear(slot)
        return bool(idle)

    def shift(self, slot: Slot, shift: Shift) -> None:
        """Drop a part of the sequence; what comes after it moves up and keeps its computed state if it may.

        Cells that other sequences share must not move under them: then the rest is computed again.
        """
        start, end = shift.n_keep, shift.n_keep + shift.n_discard
        n_computed = slot.n_computed
        slot.cut(start, end)
        movable = self._context.can_shift and slot.n_shared <= end
        if movable and self._context.remove_range(slot.seq_id, start, end):
            self._context.move(slot.seq_id, end, n_computed, start - end)
            slot.n_computed = n_computed - (end - start)
            slot.n_reusable = min(slot.n_reusable, start)
        else:
            self._trim(slot, start)

    def _reset(self, slot: Slot) -> None:
        slot.n_computed = slot.n_shared = 0
        slot.n_reusable = self._n_ctx
        if slot.sequence is None:
            slot.n_tokens = 0

    def _low(self, slot: Slot) -> int:
        return self._context.span(slot.seq_id)[0] if self._rules.n_swa and slot.n_computed else 0

    def _adopt(self, placement: Placement) -> int:
        """Bring the prefix into the slot; returns how many tokens it has, 0 where the memory could not do it."""
        slot, source = self.all[placement.slot], self.all[placement.source]
        if source is not slot or placement.n_reused == 0:
            self.clear(slot)
        if source is not slot:
            self._context.copy(source.seq_id, slot.seq_id)
            source.n_shared = max(source.n_shared, placement.n_reused)
            slot.n_shared = placement.n_reused
        slot.n_reusable = self._n_ctx  # what was shifted lies behind the prefix, and goes
        return self._trim(slot, placement.n_reused)

    def _trim(self, slot: Slot, n: int) -> int:
        """Keep the first n computed tokens; returns how many are left, 0 where this memory cannot keep so few."""
        if n > 0 and self._context.remove(slot.seq_id, n):
            low, high = self._context.span(slot.seq_id)
            if high == n - 1 and (not self._rules.n_swa or low <= max(0, n - self._rules.n_swa)):
                slot.n_computed = n
                slot.n_shared = min(slot.n_shared, n)
                return n
        self.clear(slot)
        return 0
