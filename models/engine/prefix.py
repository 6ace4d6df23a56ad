"""Which computed prefix a new sequence starts from, and where it runs.

The rules are pure; `slots.py` carries the decision out and checks that the memory holds what it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from models.engine.saved import SavedState

WORTH_WAITING = 64
"""Tokens that another sequence must be about to compute for a new one to wait for them."""
WORTH_WAITING_SOON = 16
"""The same if it has begun with its prompt."""
LITTLE = 32
"""Tokens whose state may be lost without a thought."""
WORTH_RESTORING = 32
"""Tokens that a saved state must have more than the context for a look at what they cost."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one slot's cells hold, or will hold when the sequence that runs there has come so far.

    The first `n_computed` of `n_tokens` tokens have cells, of which `n_reusable` are what a fresh computation would
    give. `low`: from this position on the state is complete (above 0 where a sliding window has moved on).
    """

    slot: int
    is_free: bool
    n_tokens: int
    n_computed: int
    n_reusable: int
    low: int
    last_used: int


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """`can_trim`: the end of a sequence can be dropped (recurrent states cannot). `n_swa`: window, 0 for none.

    `shares_cells`: sequences that begin alike have cells in common; otherwise each has its own, and a prefix is copied.
    """

    can_trim: bool
    n_swa: int
    shares_cells: bool = True

    @property
    def can_go_back(self) -> bool:
        """Whether a state holds that of every shorter prefix, too; others are only good for what they are."""
        return self.can_trim and self.n_swa == 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Run in `slot`, starting from `n_reused` tokens of `source`: a slot (perhaps this one), or a state to restore.

    `n_alike` tokens are those of another sequence, whose state is past them: there they part.
    """

    slot: int
    source: int | SavedState
    n_reused: int
    n_alike: int = 0


@dataclass(frozen=True, slots=True)
class NotYet:
    """Another sequence, in `slot`, is about to compute what this one needs: its first `n` tokens."""

    slot: int
    n: int


Match = tuple[int, Holding | SavedState]


def place(
    n_prompt: int,
    matches: Iterable[Match],
    free: Sequence[Holding],
    rules: MemoryRules,
    *,
    is_worth: Callable[[SavedState, int], bool] = lambda state, n_gained: True,
) -> Placement | NotYet:
    """Where a prompt should run; `free` are the slots that it may have, at least one.

    `matches` are the sequences that begin like it, with the number of tokens in common, longest first. At least the
    last token is left to compute: its logits are needed. `is_worth`: whether restoring saves time.
    """
    found = _survey(n_prompt, matches, rules)
    source: int | SavedState = found.best.slot
    n_reused = found.best.n
    own = next((holding for holding in free if n_reused and holding.slot == source), None)
    stays = own is not None and (len(free) == 1 or _loses_little(own, n_reused, free))
    if found.saved is not None and _is_better(found.saved, found, rules, is_worth, stays=stays):
        source, n_reused, own, stays = found.saved, found.n_saved, None, False
    if found.coming is not None and found.coming.n >= n_reused + found.worth_waiting:
        return found.coming
    n_alike = min(found.n_alike, n_prompt - 1)
    if n_reused == 0:
        slot = _least_wanted(free).slot
        return Placement(slot, slot, 0, n_alike)
    if own is not None and stays:
        return Placement(own.slot, own.slot, n_reused, n_alike)  # goes on where it was
    others = [holding for holding in free if holding is not own]
    return Placement(_least_wanted(others).slot, source, n_reused, n_alike)


@dataclass(frozen=True, slots=True, order=True)
class _Best:
    """The best slot to go on from, as far as was looked; of equal ones a free one, used lately."""

    n: int = 0
    is_free: bool = False
    last_used: int = 0
    slot: int = 0


@dataclass(slots=True)
class _Found:
    """What there is for a prompt: in slots, on its way, and saved; and the most that anybody has in common with it."""

    best: _Best = field(default_factory=_Best)
    coming: NotYet | None = None
    worth_waiting: int = 0
    saved: SavedState | None = None
    n_saved: int = 0
    n_alike: int = 0


def _is_better(
    saved: SavedState, found: _Found, rules: MemoryRules, is_worth: Callable[[SavedState, int], bool], *, stays: bool
) -> bool:
    """Whether to restore the saved state rather than start from the best slot."""
    n_gained = found.n_saved - found.best.n
    if rules.shares_cells or stays:
        return n_gained >= WORTH_RESTORING and is_worth(saved, n_gained)
    # to copy from another slot is to save and to restore
    return n_gained >= 0 and found.n_saved >= WORTH_RESTORING and is_worth(saved, found.n_saved)


def _survey(n_prompt: int, matches: Iterable[Match], rules: MemoryRules) -> _Found:
    found = _Found()
    for n_common, holder in matches:
        if n_common < found.best.n:
            break  # and so are all that follow
        found.n_alike = max(found.n_alike, n_common)
        n = usable_prefix(n_prompt, n_common, holder, rules)
        if isinstance(holder, Holding):
            found.best = max(found.best, _Best(n, holder.is_free, holder.last_used, holder.slot))
            if found.coming is None:
                found.worth_waiting = WORTH_WAITING_SOON if holder.n_computed else WORTH_WAITING
                found.coming = _coming(n_prompt, n_common, holder, found.worth_waiting)
        elif n > found.n_saved:
            found.saved, found.n_saved = holder, n
    return found


def usable_prefix(n_prompt: int, n_common: int, holder: Holding | SavedState, rules: MemoryRules) -> int:
    """How many leading tokens of the prompt a state can stand for, which has `n_common` in common with it."""
    n = min(n_common, holder.n_computed, holder.n_reusable, n_prompt - 1)
    if n < holder.n_computed and not rules.can_trim:
        return 0
    if rules.n_swa and holder.low > max(0, n - rules.n_swa):
        return 0
    return max(n, 0)


def _coming(n_prompt: int, n_common: int, holding: Holding, n_least: int) -> NotYet | None:
    """What the slot has not computed yet of the common part, if it is about to do so."""
    n = min(n_common, n_prompt - 1)
    is_busy = holding.n_tokens - holding.n_computed >= n_least
    return NotYet(holding.slot, n) if is_busy and n > holding.n_computed else None


def _loses_little(holding: Holding, n_reused: int, free: Sequence[Holding]) -> bool:
    """Whether a slot may go on with a part of what it has: some tokens less, or half if no slot is empty."""
    n_lost = holding.n_computed - n_reused
    has_empty = any(other.n_computed == 0 for other in free)
    return n_lost <= LITTLE or (not has_empty and n_lost <= n_reused)


def _least_wanted(free: Sequence[Holding]) -> Holding:
    """An empty slot, or the one that was used longest ago."""
    return min(free, key=lambda holding: (holding.n_computed > 0, holding.last_used))
