"""The engine: many generations at once, one step at a time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from models.engine.batch import Part
from models.engine.context_end import ContextRules, plan_shift
from models.engine.failures import to_failed
from models.engine.media import Media
from models.engine.pace import Pace
from models.engine.planner import Plan, Planner
from models.engine.ports import Context, Floats, Vocabulary
from models.engine.saved import SavedStates
from models.engine.sequence import Sequence, Task
from models.engine.slot import Slot
from models.engine.slots import Admission, Slots
from models.errors import ContextLost, LoadError, ModelError
from models.llama.outcome import Outcome
from models.runner.messages import Chunk, Failed, Finished, Reason
from models.runner.settings import AdapterSet

log = logging.getLogger(__name__)

Event = Chunk | Finished | Failed


class Engine:
    """Runs tasks side by side in the slots of one context. One thread calls it.

    Every submitted task gets one `Finished` or `Failed`, whatever happens.
    """

    def __init__(
        self,
        context: Context,
        vocabulary: Vocabulary,
        rules: ContextRules,
        *,
        n_slots: int,
        prompt_cache_bytes: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._rules = rules
        self._shifts = rules.shift and context.can_shift
        self._clock_ns = clock_ns
        self._waiting: deque[Sequence] = deque()
        self._pace = Pace()
        saved = SavedStates(prompt_cache_bytes, token_s=lambda: self._pace.token_s, clock_ns=clock_ns)
        apart = not context.shares_cells or context.n_swa > 0
        self._planner = Planner(self._pace, context.n_batch, apart=apart)
        self._slots = Slots(context, n_slots, rules.n_ctx_seq, saved)
        self._events: list[Event] = []
        self._n_steps = 0
        self._is_spoiled = False
        self.when_computed: Callable[[], None] = _nothing
        """Called when a batch is computed, before anything is sampled from it."""

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._events or self._slots.running)

    @property
    def adapter_sets(self) -> set[AdapterSet]:
        """Those of all requests that have not ended."""
        return {sequence.task.adapters for sequence in self._waiting} | {slot.adapters for slot in self._slots.running}

    def submit(self, task: Task) -> None:
        """Queue a task; it joins the others at the next step for which there is a slot."""
        self._waiting.append(Sequence(task, self._vocabulary, now_ns=self._clock_ns()))

    def cancel(self, request_id: int) -> None:
        """End a task before the next step; unknown ones have ended already."""
        for sequence in self._waiting:
            if sequence.request_id == request_id:
                self._waiting.remove(sequence)
                self._events.append(sequence.finish(Reason.CANCELLED))
                return
        for slot, sequence in self._running():
            if sequence.request_id == request_id:
                self._finish(slot, Reason.CANCELLED)
                return

    def step(self) -> list[Event]:
        """Give everyone who decodes a token, and compute some of the prompts; returns what clients should hear."""
        self._n_steps += 1
        self._admit_waiting()
        self._make_room()
        self._compute_media()
        plan = self._planner.plan([slot for slot in self._slots.running if not slot.is_parked])
        if plan:
            self._decode_all(plan)
        if self._is_spoiled:
            self._renew_context()
        events, self._events = self._events, []
        return events

    def _running(self) -> list[tuple[Slot, Sequence]]:
        return [(slot, slot.sequence) for slot in self._slots.running if slot.sequence is not None]

    # ---- before computing ------------------------------------------------------------------------------------------

    def _admit_waiting(self) -> None:
        """Waiting sequence → free slot with the longest computed prefix.

        One that waits for another's prefix does not hold up those behind it; one without room does, or it would starve.
        """
        still_waiting: deque[Sequence] = deque()
        while self._waiting:
            sequence = self._waiting.popleft()
            if len(sequence.task.prompt) == 0:  # Compat: llama.cpp's server answers an empty prompt with nothing
                self._events.append(sequence.finish(Reason.STOP))
                continue
            admission = self._slots.admit(sequence, self._clock_ns())
            if admission is not Admission.NO_ROOM and sequence.joined_step is None:
                sequence.joined_step = self._n_steps
            if admission is not Admission.ADMITTED:
                still_waiting.append(sequence)
            if admission is Admission.NO_ROOM:
                break
        self._waiting.extendleft(reversed(still_waiting))
        self._slots.trim_idle()
        self._slots.close_gap()

    def _make_room(self) -> None:
        """Shift the sequences whose next token has no place. Compat: llama.cpp's server, when n_tokens + 1 ≥ n_ctx."""
        full = [slot for slot in self._slots.running if slot.n_tokens >= self._rules.n_ctx_seq]
        for slot in full:
            sequence = slot.sequence
            assert sequence is not None
            if slot.has_media:  # Compat: llama.cpp's server: where images are, nothing moves
                self._finish(slot, Reason.CONTEXT)
                continue
            shift = plan_shift(slot.n_computed, len(sequence.task.prompt), sequence.task.n_keep, self._rules)
            if shift.n_discard:
                self._slots.shift(slot, shift)
                sequence.n_shifted += shift.n_discard
            else:
                self._finish(slot, Reason.CONTEXT)

    # ---- computing -------------------------------------------------------------------------------------------------

    def _compute_media(self) -> None:
        """At most one image or sound in each step, so that the others do not wait for all of them."""
        for slot in self._slots.running:
            if slot.media is not None and not slot.is_parked:
                self._decode_media(slot, slot.media)
                return

    def _decode_media(self, slot: Slot, media: Media) -> None:
        try:
            self._context.use_adapters(slot.adapters)
            outcome = self._context.decode_media(slot.seq_id, media, slot.n_computed)
        except LoadError as error:
            self._fail(slot, error)
            return
        except ContextLost as error:
            self._lose_context([Part(slot, media.n_positions, False)], error)
            return
        if outcome is Outcome.DONE:
            self._slots.advance(slot, media.n_positions)
            return
        self._slots.clear(slot)  # part of it may be there
        if self._slots.evict_idle():
            return
        if len(self._slots.running) > 1:
            self._slots.park(slot)
        else:
            self._fail(slot, ModelError("the context has no room"))

    def _decode_all(self, plan: Plan) -> None:
        """One decode after the other, for those parts that are computed together."""
        decoding_s, is_mixed = 0.0, False
        for group in self._planner.groups(plan, self._context.adapters):
            group = [part for part in group if not part.slot.is_parked]  # to make room for an earlier group
            if not group:
                continue
            spans = [(part.n, part.slot.n_computed) for part in group if part.n > 1]
            started_ns = self._clock_ns()
            if not self._decode(group):
                return
            elapsed_s = (self._clock_ns() - started_ns) / 1e9
            if spans:
                is_mixed |= len(spans) < len(group)
                self._pace.measure_prompts(spans, elapsed_s)
            else:
                decoding_s += elapsed_s
        if decoding_s and not is_mixed:
            self._pace.measure_decode(decoding_s)

    def _decode(self, plan: Plan) -> bool:
        """Compute the plan and sample from it. False: it failed, and those who took part have been told."""
        while True:
            try:
                self._context.use_adapters(plan[0].slot.adapters)
                self._fill(plan)
                outcome = self._context.decode()
            except LoadError as error:
                self._fail_parts(plan, error)
                return False
            except ContextLost as error:
                self._lose_context(plan, error)
                return False
            if outcome is Outcome.DONE:
                self.when_computed()
                self._advance(plan)
                return True
            if outcome is Outcome.REFUSED:
                self._fail_parts(plan, ModelError("the engine refused the batch"))
                return False
            plan = self._reduce(plan)
            if not plan:
                return False

    def _fill(self, plan: Plan) -> None:
        batch = self._context.batch
        batch.clear()
        for slot, n, output in plan:
            scores = slot.is_scoring
            batch.add(slot.seq_id, slot.pending[:n], slot.n_computed, output=output or scores, every=scores)
            if output or scores:
                self._context.pick_by(slot.seq_id, slot.chain)

    def _advance(self, plan: Plan) -> None:
        """The batch is computed: one token for each sequence that asked for logits."""
        logits = None
        row = 0
        for slot, n, output in plan:
            start = slot.n_computed
            self._slots.advance(slot, n)
            if slot.is_scoring:
                logits = self._context.logits() if logits is None else logits
                row += n - 1
                if not self._score(slot, logits[row - n + 1 : row + 1], start) or not output:
                    row += 1
                    continue
            elif not output:
                continue
            if slot.chain is not None:
                self._sample(slot, row)
            else:
                logits = self._context.logits() if logits is None else logits
                self._sample(slot, row, logits[row])
            row += 1

    def _score(self, slot: Slot, logits: Floats, start: int) -> bool:
        """Tell what the logits after the tokens from `start` on say of a prompt. False: the sequence has ended."""
        sequence = slot.sequence
        assert sequence is not None
        try:
            chunk = sequence.score(logits, start, now_ns=self._clock_ns())
        except ModelError as error:
            self._is_spoiled |= bool(np.isnan(logits).any())
            self._fail(slot, error)
            return False
        if chunk is not None:
            self._events.append(chunk)
        if sequence.task.n_predict == 0 and not sequence.is_scoring:
            self._finish(slot, Reason.LIMIT)
            return False
        return True

    def _sample(self, slot: Slot, row: int, logits: Floats | None = None) -> None:
        """Take the token of a row: from its logits, or else the one that the backend picked."""
        sequence = slot.sequence
        assert sequence is not None
        n_room = self._rules.n_ctx_seq - slot.n_computed - 1
        is_full = not (self._shifts and not slot.has_media) and n_room <= 0
        now_ns = self._clock_ns()
        try:
            if logits is None:
                step = sequence.step_picked(self._context.picked(row), is_full=is_full, now_ns=now_ns)
            else:
                step = sequence.step(logits, is_full=is_full, now_ns=now_ns, n_room=n_room)
        except ModelError as error:
            self._is_spoiled |= logits is None or bool(np.isnan(logits).any())
            self._fail(slot, error)
            return
        tokens, chunk, reason = step
        if sequence.first_step is None:
            sequence.first_step = self._n_steps
        if chunk is not None:
            self._events.append(chunk)
        elif reason is None:
            self._planner.owe_text()
        if reason is None:
            for token in tokens:  # those after the first are forced, and computed together
                slot.append(token)
        else:
            self._finish(slot, reason)

    # ---- when something fails --------------------------------------------------------------------------------------

    def _reduce(self, plan: Plan) -> Plan:
        """There were no cells: what can be computed instead.

        What idle slots hold goes first, bit by bit; then prompts wait for those who decode; then the youngest sequence
        waits for another to end. One that is alone and still has no room fails.
        """
        if self._slots.evict_idle():
            return plan
        decoding = [part for part in plan if part.slot.n_pending == 1]
        if 0 < len(decoding) < len(plan):
            return decoding
        active = [slot for slot in self._slots.running if not slot.is_parked]
        if len(active) > 1:
            self._slots.park(active[-1])
            return [part for part in plan if part.slot is not active[-1]]
        slot, n, _ = plan[0]
        if n > 1:
            return [Part(slot, n // 2, False)]
        self._fail_parts(plan, ModelError("the context has no room"))
        return []

    def _fail_parts(self, plan: Plan, error: ModelError) -> None:
        log.error("%s", error)
        for slot, _, _ in plan:
            self._fail(slot, error)

    def _lose_context(self, plan: Plan, error: ContextLost) -> None:
        """Those who took part fail; the others compute their tokens again in a new context."""
        self._fail_parts(plan, error)
        self._renew_context()

    def _renew_context(self) -> None:
        """Those who run compute their tokens again.

        Also after something that is not a number: it stays in cells that are free, and attention multiplies it by zero.
        """
        self._context.rebuild()
        self._slots.clear_all()
        self._is_spoiled = False

    # ---- endings ---------------------------------------------------------------------------------------------------

    def _finish(self, slot: Slot, reason: Reason) -> None:
        assert slot.sequence is not None
        self._events.append(slot.sequence.finish(reason))
        self._slots.release(slot)

    def _fail(self, slot: Slot, error: ModelError) -> None:
        assert slot.sequence is not None
        self._events.append(to_failed(slot.sequence.request_id, error))
        self._slots.release(slot)
        self._slots.clear(slot)


def _nothing() -> None: ...
