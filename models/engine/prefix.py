"""Which computed prefix a new sequence starts from, and where it runs.

The rules are pure; `slots.py` carries the decision out and checks that the memory holds what it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]

WORTH_WAITING = 64
"""Tokens that another sequence must be about to compute for a new one to wait for them."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one slot's cells hold, or will hold when the sequence that runs there has come so far.

    The first `n_computed` of `tokens` have cells, of which `n_reusable` are what a fresh computation would give.
    `low`: from this position on the state is complete (above 0 where a sliding window has moved on).
    """

    slot: int
    is_free: bool
    tokens: Tokens
    n_computed: int
    n_reusable: int
    low: int
    last_used: int


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """`can_trim`: the end of a sequence can be dropped (recurrent states cannot). `n_swa`: window, 0 for none."""

    can_trim: bool
    n_swa: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Run in `slot`, starting from `n_reused` tokens of `source` (the slot itself, or one to copy from)."""

    slot: int
    source: int
    n_reused: int


@dataclass(frozen=True, slots=True)
class NotYet:
    """No slot is free, or another sequence is about to compute what this one needs."""


def place(prompt: Tokens, holdings: Sequence[Holding], rules: MemoryRules) -> Placement | NotYet:
    """Where a prompt should run. At least its last token is left to compute: its logits are needed."""
    free = [holding for holding in holdings if holding.is_free]
    if not free:
        return NotYet()
    usable = {holding.slot: usable_prefix(prompt, holding, rules) for holding in holdings}
    best = max(holdings, key=lambda holding: (usable[holding.slot], holding.is_free, holding.last_used))
    n_reused = usable[best.slot]
    if rules.can_trim and _longest_coming(prompt, holdings) >= n_reused + WORTH_WAITING:
        return NotYet()
    if n_reused == 0:
        return Placement(_least_wanted(free).slot, _least_wanted(free).slot, 0)
    if best.is_free and (len(free) == 1 or n_reused * 2 >= best.n_computed):
        return Placement(best.slot, best.slot, n_reused)  # goes on where it was, or loses little
    others = [holding for holding in free if holding is not best]
    return Placement(_least_wanted(others).slot, best.slot, n_reused)


def usable_prefix(prompt: Tokens, holding: Holding, rules: MemoryRules) -> int:
    """How many leading tokens of the prompt a slot's state can stand for."""
    n_common = common_prefix(prompt, holding.tokens[: holding.n_computed])
    n = min(n_common, holding.n_reusable, len(prompt) - 1)
    if n < holding.n_computed and not rules.can_trim:
        return 0
    if rules.n_swa and holding.low > max(0, n - rules.n_swa):
        return 0
    return n


def common_prefix(a: Tokens, b: Tokens) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if n == 0 or a[0] != b[0]:
        return 0
    differs = a[:n] != b[:n]
    first = int(differs.argmax())
    return first if differs[first] else n


def _longest_coming(prompt: Tokens, holdings: Sequence[Holding]) -> int:
    """The longest prefix of the prompt that some running sequence has computed or is about to compute."""
    longest = 0
    for holding in holdings:
        if len(holding.tokens) - holding.n_computed >= WORTH_WAITING:
            longest = max(longest, common_prefix(prompt[:-1], holding.tokens))
    return longest


def _least_wanted(free: Sequence[Holding]) -> Holding:
    """An empty slot, or the one that was used longest ago."""
    return min(free, key=lambda holding: (holding.n_computed > 0, holding.last_used))
