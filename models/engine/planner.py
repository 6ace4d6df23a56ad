"""Who is computed in the next step, how much of each prompt, and what of it together."""

from __future__ import annotations

from collections.abc import Iterable

from models.engine.batch import Part, plan_batch
from models.engine.pace import Pace
from models.engine.slot import Slot
from models.runner.settings import AdapterSet

LONG_PROMPT_S = 4.0
"""A prompt that will take longer is computed bit by bit beside those who decode, even if it came with them."""

_MOST_SILENT = 3
"""Tokens without text that somebody may have before prompts go on: a character has four bytes at most."""

Plan = list[Part[Slot]]


class Planner:
    """Weighs those who decode against those whose prompts are to be computed."""

    def __init__(self, pace: Pace, n_batch: int, *, apart: bool) -> None:
        """`apart`: prompts of different lengths are computed one after the other, see `groups`."""
        self._pace = pace
        self._n_batch = n_batch
        self._apart = apart
        self._owes_text = False
        self._n_silent = 0

    def owe_text(self) -> None:
        """Somebody was given a token without text."""
        self._owes_text = True

    def plan(self, slots: list[Slot]) -> Plan:
        """What of those who run, and do not wait for room, the next step computes."""
        prompts = [slot for slot in slots if slot.n_pending > 1]
        n_batch = self._n_batch
        if not prompts:
            self._owes_text, self._n_silent = False, 0
            return plan_batch(slots, n_batch=n_batch, n_prefill=0)
        if sum(slot.is_scoring for slot in prompts) > 1:
            slots, prompts = _one_of_the_scored(slots), _one_of_the_scored(prompts)
        beside_decoding = any(self._holds_up(prompt, slot) for prompt in prompts for slot in slots)
        is_owed, self._owes_text = self._owes_text, False
        if beside_decoding and is_owed and self._n_silent < _MOST_SILENT:
            self._n_silent += 1
            return plan_batch(slots, n_batch=n_batch, n_prefill=0)
        self._n_silent = 0
        n_prefill = self._pace.n_prefill(n_batch, n_before=prompts[0].n_computed, beside_decoding=beside_decoding)
        return plan_batch(slots, n_batch=n_batch, n_prefill=n_prefill, apart=self._apart)

    def _holds_up(self, prompt: Slot, decoding: Slot) -> bool:
        """Whether to compute a prompt keeps somebody waiting who was here before.

        Those who came together are served best if all of their prompts are computed at once, but for long ones.
        """
        if decoding.n_pending > 1 or prompt.sequence is None or decoding.sequence is None:
            return False
        if prompt.sequence.came_later(decoding.sequence):
            return True
        return prompt.n_pending * (self._pace.token_s or 0.0) > LONG_PROMPT_S

    def groups(self, plan: Plan, in_use: AdapterSet) -> Iterable[Plan]:
        """What is computed together: sequences with the same adapters, those in use first, as changing takes a while.

        Where each sequence has cells of its own, llama.cpp takes as many tokens of each as all have, then of those that
        are left, and so on, and only in the order of their ids. So those who decode come first, and of the prompts
        those are computed together that are equally long.

        The same where attention has a window: what llama.cpp cannot place at once it computes in parts, and then what
        a later part overwrites is lost to the earlier ones, with all before it that another sequence has, too. Equal
        numbers of tokens are one part, or there is no room.
        Source: llama-kv-cache.cpp, prepare: it tries all parts first, and does not undo what `apply_ubatch` purges.
        """
        if not self._apart and len({part.slot.adapters for part in plan}) == 1:
            return (plan,)
        if self._apart:
            plan = sorted(plan, key=lambda part: part.slot.seq_id)
        turns = {in_use: 0}
        for part in plan:
            turns.setdefault(part.slot.adapters, len(turns))
        groups: dict[tuple[AdapterSet, int], Plan] = {}
        for part in sorted(plan, key=lambda part: (turns[part.slot.adapters], part.n > 1)):
            groups.setdefault((part.slot.adapters, part.n if self._apart else 0), []).append(part)
        return groups.values()


def _one_of_the_scored(slots: list[Slot]) -> list[Slot]:
    """Without the prompts that are scored but for the first: a step has room for the logits of one."""
    first = next(slot for slot in slots if slot.is_scoring)
    return [slot for slot in slots if slot is first or not slot.is_scoring or slot.n_pending == 1]
