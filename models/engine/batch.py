"""Which tokens the next step computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar


class Place(Protocol):
    """What planning reads of a slot."""

    @property
    def n_pending(self) -> int: ...


P = TypeVar("P", bound=Place)


class Part(NamedTuple, Generic[P]):
    """The next `n` pending tokens of a slot; `output`: they are its last, so their logits pick the next token."""

    slot: P
    n: int
    output: bool


def plan_batch(slots: Sequence[P], *, n_batch: int, n_prefill: int) -> list[Part[P]]:
    """The parts of one decode: one token of everyone who decodes, then prompts, as far as `n_prefill` goes.

    `slots` are those that have work, the longest waiting first. The first prompt gets half of what is there for
    prompts and all share the rest evenly, so a long prompt starves nobody and is not starved.
    """
    parts = [Part(slot, 1, True) for slot in slots if slot.n_pending == 1][:n_batch]
    prompts = [slot for slot in slots if slot.n_pending > 1]
    for slot, n in zip(prompts, _shares(prompts, min(n_prefill, n_batch - len(parts))), strict=True):
        if n > 0:
            parts.append(Part(slot, n, n == slot.n_pending))
    return parts


def _shares(prompts: Sequence[Place], n_room: int) -> list[int]:
    """How much of each prompt is computed; what one does not need goes to those after it."""
    shares: list[int] = []
    for index, slot in enumerate(prompts):
        n_others = len(prompts) - index - 1
        fair = n_room if n_others == 0 else -(-n_room // 2) if index == 0 else -(-n_room // (n_others + 1))
        shares.append(min(fair, slot.n_pending))
        n_room -= shares[-1]
    return _hand_out(prompts, shares, n_room)


def _hand_out(prompts: Sequence[Place], shares: list[int], n_left: int) -> list[int]:
    """Give what is left over to the first who can use it."""
    for index, slot in enumerate(prompts):
        extra = min(n_left, slot.n_pending - shares[index])
        shares[index] += extra
        n_left -= extra
    return shares
