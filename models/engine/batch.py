"""Which tokens the next step computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar


class Place(Protocol):
    """What planning reads of a slot: `n_next` of its pending tokens may be computed in one step."""

    @property
    def n_pending(self) -> int: ...
    @property
    def n_next(self) -> int: ...


P = TypeVar("P", bound=Place)


class Part(NamedTuple, Generic[P]):
    """The next `n` pending tokens of a slot; `output`: they are its last, so their logits pick the next token."""

    slot: P
    n: int
    output: bool


def plan_batch(slots: Sequence[P], *, n_batch: int, n_prefill: int, apart: bool = False) -> list[Part[P]]:
    """The parts of one decode: one token of everyone who decodes, then prompts, as far as `n_prefill` goes.

    `slots` are those that have work, the longest waiting first. Prompts are computed one after the other, which keeps
    each one's cells together and lets attention pass over those of the others. But up to half of what is there goes to
    short ones that it completes: a long prompt does not hold up short ones, nor do they starve it.

    `apart`: those who decode, and prompts of different lengths, are computed one after the other. Then it would bring
    nothing to fill a step with the beginning of the next prompt, and those who decode take no prompt's place.
    """
    parts = [Part(slot, 1, True) for slot in slots if slot.n_pending == 1][:n_batch]
    prompts = [slot for slot in slots if slot.n_pending > 1]
    n_room = min(n_prefill, n_batch if apart else n_batch - len(parts))
    for slot, n in zip(prompts, _shares(prompts, n_room, apart), strict=True):
        if n > 0:
            parts.append(Part(slot, n, n == slot.n_pending))
    return parts


def _shares(prompts: Sequence[Place], n_room: int, apart: bool) -> list[int]:
    """How much of each prompt is computed."""
    shares = [0] * len(prompts)
    n_quick = n_room // 2
    for index, slot in enumerate(prompts[1:], start=1):
        if slot.n_next <= n_quick:
            shares[index] = slot.n_next
            n_quick -= slot.n_next
    n_room -= sum(shares)
    for index, slot in enumerate(prompts):
        n_left = slot.n_next - shares[index]
        extra = min(n_room, n_left) if not apart or index == 0 or n_left <= n_room else 0
        shares[index] += extra
        n_room -= extra
    return shares
