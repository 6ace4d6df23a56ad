"""The places where sequences run, what their cells hold, and what is kept beside them."""

from __future__ import annotations

from enum import Enum

from models.engine.context_end import Shift
from models.engine.holders import Holders
from models.engine.media import whole
from models.engine.ports import Blob, Context
from models.engine.prefix import MemoryRules, NotYet, Placement, place
from models.engine.saved import LEAST_TOKENS, SavedState, SavedStates
from models.engine.sequence import Sequence
from models.engine.slot import Slot

BEFORE_END = 16
"""A checkpoint lies so far before a prompt's end: what a template adds there for the reply may be gone in the next."""
FEW_IDLE_CELLS = 128
IDLE_SHARE = 4
"""Idle sequences may keep one cell for so many that running ones use, or a few in any case. Attention passes over them,
but not for nothing: 2,000 idle cells take 7 % of a decode and 19 % of a prefill of a 135M model on a processor. To copy
a token's state out takes 6 µs there and back in 1.5; to compute it, 1 to 2 ms."""
UNNOTICED_S = 0.05
"""A state that takes longer to move stays where it is."""
_GROWTH = 64
"""Cells that a running sequence is counted to need soon."""


class Admission(Enum):
    ADMITTED = "admitted"
    WAITS = "waits"
    """Another sequence computes what this one needs."""
    NO_ROOM = "no room"
    """No slot, or no cells: nobody else is admitted either, or this one would never be."""


class Slots:
    """All slots of a context, more than may run at once; carries out what the prefix rules decide."""

    def __init__(
        self,
        context: Context,
        n_running: int,
        n_ctx: int,
        saved: SavedStates | None = None,
    ) -> None:
        self._context = context
        self._n_running = n_running
        self._n_ctx = n_ctx
        self._rules = MemoryRules(context.can_trim, context.n_swa, context.shares_cells)
        self._saved = SavedStates(0) if saved is None else saved
        self._holders = Holders(context, self._rules, self._saved)
        self._clock = 0
        self.all = [Slot(seq_id, n_ctx, context.n_scored) for seq_id in range(max(n_running, context.n_seq_max))]
        self.running: list[Slot] = []
        """Those with a sequence, in the order in which these came."""

    # ---- beginnings and ends ---------------------------------------------------------------------------------------

    def admit(self, sequence: Sequence, now_ns: int) -> Admission:
        """Give the sequence a slot, with as much of its prompt as is computed already."""
        if len(self.running) >= self._n_running:
            return Admission.NO_ROOM
        prompt = sequence.task.prompt
        placement = self._place(sequence)
        if isinstance(placement, NotYet):
            if not self._rules.can_go_back:
                self.all[placement.slot].stop_at(placement.n)  # so that its state can be copied there
            return Admission.WAITS
        if not self._has_cells(len(prompt), placement.n_reused):
            return Admission.NO_ROOM
        slot = self.all[placement.slot]
        n_reused = self._take_over(placement)
        if (n_whole := whole(n_reused, sequence.task.media)) < n_reused:
            n_reused = self._trim(slot, n_whole)
        slot.start(sequence, n_reused)
        self._plan_checkpoints(slot, placement.n_alike)
        self._holders.note(slot)
        self.running.append(slot)
        sequence.begin(n_reused, now_ns)
        return Admission.ADMITTED

    def release(self, slot: Slot) -> None:
        """The sequence has ended; its cells stay."""
        self._clock += 1
        slot.last_used = self._clock
        slot.n_tokens = slot.n_computed
        slot.sequence = None
        self._holders.note(slot)
        self.running.remove(slot)
        for other in self.running:
            if other.is_parked:
                self._resume(other)

    def advance(self, slot: Slot, n: int) -> None:
        """The next `n` tokens of a slot are computed."""
        if slot.advance(n):
            self._save(slot)

    def close_gap(self) -> None:
        """Bring those who run next to each other, if a state can move so quickly that nobody notices.

        llama.cpp computes sequences with cells of their own together if their ids follow each other, and otherwise one
        group after the other, each as long as a step.
        """
        if self._rules.shares_cells or len(self.running) < 2:
            return
        first, last = self._ends()
        gap = next((slot for slot in self.all[first:last] if slot.sequence is None), None)
        if gap is None:
            return
        movable = [slot for slot in (self.all[first], self.all[last]) if not slot.has_media]
        mover = min(movable, key=lambda slot: slot.n_computed, default=None)
        if mover is None or self._saved.moving_s(self._context.state_size(mover.seq_id)) > UNNOTICED_S:
            return
        self._evict(gap)
        blob = self._read_state(mover)
        if blob is not None and self._context.restore(gap.seq_id, blob):
            self._context.forget(mover.seq_id)
            self._exchange(mover, gap)

    def _exchange(self, one: Slot, other: Slot) -> None:
        """Their states have changed places."""
        one.seq_id, other.seq_id = other.seq_id, one.seq_id
        self.all[one.seq_id], self.all[other.seq_id] = one, other

    def _ends(self) -> tuple[int, int]:
        """The smallest and the largest id of those who run."""
        ids = [slot.seq_id for slot in self.running]
        return min(ids), max(ids)

    # ---- giving up cells -------------------------------------------------------------------------------------------

    def clear(self, slot: Slot) -> None:
        """Forget the cells; a sequence that runs there will compute all of its tokens again."""
        self._context.forget(slot.seq_id)
        self._reset(slot)

    def park(self, slot: Slot) -> None:
        """Give up a running sequence's cells; it goes on, from its tokens, when another one has ended."""
        self._evict(slot)
        slot.is_parked = True

    def clear_all(self) -> None:
        """The context was built anew."""
        for slot in self.all:
            self._reset(slot)

    def evict_idle(self) -> bool:
        """Forget what the free slot holds that was used longest ago. False: they hold nothing."""
        idle = [slot for slot in self.all if slot.sequence is None and slot.n_computed]
        if idle:
            self._evict(min(idle, key=lambda slot: slot.last_used))
        return bool(idle)

    def trim_idle(self) -> None:
        """Move an idle sequence's state to host memory, if idle ones hold too many cells beside those who run.

        One in each step: copies should not add up.
        """
        if not self._rules.shares_cells or not self._saved.is_on or not self.running:
            return
        idle = [slot for slot in self.all if slot.sequence is None and slot.n_computed]
        n_shared = max((slot.n_shared for slot in idle), default=0) - max(slot.n_shared for slot in self.running)
        n_idle = sum(slot.n_computed - slot.n_shared for slot in idle) + max(0, n_shared)
        n_busy = sum(slot.n_tokens for slot in self.running)
        if n_idle > max(FEW_IDLE_CELLS, n_busy // IDLE_SHARE):
            self.evict_idle()

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

    def _evict(self, slot: Slot) -> None:
        """Forget the cells, but not without a copy of what they hold if that is worth its room."""
        if slot.n_computed:
            self._save(slot)
        self.clear(slot)

    def _reset(self, slot: Slot) -> None:
        slot.n_computed = slot.n_shared = 0
        slot.n_reusable = self._n_ctx
        if slot.sequence is None:
            slot.n_tokens = 0
            self._holders.note(slot)

    # ---- finding ---------------------------------------------------------------------------------------------------

    def _place(self, sequence: Sequence) -> Placement | NotYet:
        """One that is scored takes nothing over: what is computed already has left no logits."""
        prompt = sequence.task.prompt
        for slot in self.running:
            if slot.n_indexed != slot.n_tokens:
                self._holders.note(slot)
        free = [slot.holding(0) for slot in self._free()]
        is_worth = self._saved.is_worth_restoring
        matches = () if sequence.is_scoring else self._holders.matches(prompt, sequence.task.adapters)
        return place(len(prompt), matches, free, self._rules, is_worth=is_worth)

    def _free(self) -> list[Slot]:
        """Where the next sequence may run: anywhere, or next to those that do (see `close_gap`)."""
        idle = [slot for slot in self.all if slot.sequence is None]
        if self._rules.shares_cells or not self.running:
            return idle
        first, last = self._ends()
        between = [slot for slot in idle if first < slot.seq_id < last]
        return between or [slot for slot in idle if slot.seq_id in (first - 1, last + 1)]

    def _has_cells(self, n_prompt: int, n_reused: int) -> bool:
        """Whether a prompt has room beside what runs; what idle slots hold does not count, since it can go."""
        if not self._rules.shares_cells:
            return True
        n_taken = sum(self._soon(slot.n_tokens) - slot.n_shared for slot in self.running)
        n_shared = max((slot.n_shared for slot in self.running), default=0)
        n_new = self._soon(n_prompt) - n_reused
        return not self.running or n_taken + n_shared + n_new <= self._context.n_cells

    def _soon(self, n_tokens: int) -> int:
        """The cells that a sequence of so many tokens will soon have."""
        return min(n_tokens + _GROWTH, self._n_ctx)

    # ---- taking over -----------------------------------------------------------------------------------------------

    def _take_over(self, placement: Placement) -> int:
        """Bring the prefix into the slot; returns how many tokens it has, 0 where the memory could not do it."""
        slot = self.all[placement.slot]
        if isinstance(placement.source, SavedState):
            self._evict(slot)
            return self._restore(slot, placement.source, placement.n_reused)
        source = self.all[placement.source]
        if source is not slot or placement.n_reused == 0:
            self._evict(slot)
        if source is not slot and not self._copy(source, slot, placement.n_reused):
            return 0
        slot.n_reusable = self._n_ctx  # what was shifted lies behind the prefix, and goes
        return self._trim(slot, placement.n_reused)

    def _copy(self, source: Slot, slot: Slot, n: int) -> bool:
        """Let an empty slot have what another one has, of which `n` tokens are needed. False: it has nothing."""
        if self._rules.shares_cells:
            self._context.copy(source.seq_id, slot.seq_id)
            source.n_shared = max(source.n_shared, n)
            slot.n_shared = n
            return True
        if not self._saved.is_worth_moving(n, self._context.state_size(source.seq_id)):
            return False
        blob = self._read_state(source)
        if blob is None or not self._context.restore(slot.seq_id, blob):
            return False
        if source.n_computed <= source.n_reusable and self._saved.has_room_for(len(blob)):
            self._holders.keep(source, source.n_computed, blob)  # for the next that begins alike
        return True

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

    # ---- host memory -----------------------------------------------------------------------------------------------

    def _plan_checkpoints(self, slot: Slot, n_alike: int) -> None:
        """Where a state that cannot go back is saved on its way: before the prompt's end, and where others part."""
        if self._rules.can_go_back or not self._saved.is_on:
            return
        for n in (n_alike, slot.n_tokens - BEFORE_END):
            if n >= slot.n_computed + LEAST_TOKENS:
                slot.stop_at(n)

    def _save(self, slot: Slot) -> None:
        """Copy the slot's state to host memory, if nothing else holds most of it."""
        n = min(slot.n_computed, slot.n_reusable)
        if not self._saved.is_on or n < LEAST_TOKENS:
            return
        n_lost = n - self._holders.n_elsewhere(slot, n)
        size_bytes = self._context.state_size(slot.seq_id)
        if not self._saved.is_worth_saving(n_lost, size_bytes):
            return
        if n < slot.n_computed and self._trim(slot, n) == 0:
            return
        if (blob := self._read_state(slot)) is not None:
            self._holders.keep(slot, n, blob)

    def _read_state(self, slot: Slot) -> Blob | None:
        """A copy of what the slot's cells hold; None where llama.cpp cannot make one."""
        started_ns = self._saved.now_ns()
        if (blob := self._context.save(slot.seq_id)) is not None:
            self._saved.measure(len(blob), started_ns)
        return blob

    def _restore(self, slot: Slot, state: SavedState, n: int) -> int:
        """Copy a state into an empty slot and keep its first `n` tokens; returns how many there are, perhaps 0."""
        self._holders.touch(state)
        started_ns = self._saved.now_ns()
        while not self._context.restore(slot.seq_id, state.blob):
            if not self.evict_idle():
                self.clear(slot)
                return 0
        self._saved.measure(state.size_bytes, started_ns)
        slot.n_computed = state.n_computed
        return self._trim(slot, n)

    def _resume(self, slot: Slot) -> None:
        """Let a parked sequence go on, from a saved state if there is one."""
        slot.is_parked = False
        if slot.is_scoring:
            return
        n, state = self._holders.best_saved(slot)
        if state is not None and n >= LEAST_TOKENS and self._saved.is_worth_restoring(state, n):
            self._restore(slot, state, n)
