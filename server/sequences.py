"""How many requests a model computes at once, and the room they have: chosen from memory when the model is loaded.

The first sequence has room for its whole context, whatever that takes. All further ones together get a small part of
the memory, and no more than a part of what the model leaves: what nobody asked for neither drives out another model
nor makes the machine swap. Where that part does not hold a whole context for each, they share what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from models.gguf.facts import GGUFFacts
from models.memory import SequenceCost, sequence_cost
from models.runner.layout import CELLS_STEP, whole_cells
from models.runner.settings import RunnerConfig
from server.placement import Room

USUAL_AUTOMATIC: Final = 4
MOST_AUTOMATIC: Final = 8
"""Sequences where nobody said how many: up to four; up to eight where that costs next to nothing."""
LITTLE_OF_ALL: Final = 1 / 200
LITTLE_BYTES: Final = 256 * 1024**2
"""Memory that is next to nothing: such a part of all, and no more than this. What is reserved is also cleared, and to
load a model takes a second longer for each gigabyte of it."""
USEFUL_TOKENS: Final = 2048
"""A sequence that would have less room on average, and less than its context, is none."""


@dataclass(frozen=True, slots=True)
class Share:
    """What further sequences may have: of all memory, and of what a model with a single sequence leaves free."""

    of_total: float
    of_rest: float

    def within(self, room: Room, one_bytes: int) -> int:
        """In bytes, for a model that takes `one_bytes` with a single sequence."""
        rest_bytes = max(0, min(room.total_bytes, room.free_bytes) - one_bytes)
        return int(min(self.of_total * room.total_bytes, self.of_rest * rest_bytes))


AUTOMATIC, ASKED = Share(0.05, 0.5), Share(0.2, 0.8)


@dataclass(frozen=True, slots=True)
class Sequences:
    """How many there are, and the tokens that they have room for together."""

    n_parallel: int
    n_cells: int


def choose_sequences(cost: SequenceCost, room: Room) -> Sequences:
    """As many as have useful room, where nobody said how many; one at least."""
    budget = AUTOMATIC.within(room, cost.one_bytes)
    all_bytes = (MOST_AUTOMATIC - 1) * (cost.own_bytes + cost.context_bytes)
    little_bytes = min(budget, LITTLE_OF_ALL * room.total_bytes, LITTLE_BYTES)
    most = MOST_AUTOMATIC if all_bytes <= little_bytes else USUAL_AUTOMATIC
    useful = min(whole_cells(cost.n_ctx), USEFUL_TOKENS)
    affordable = (_share_room(n, cost, budget) for n in range(most, 1, -1) if (n - 1) * cost.own_bytes <= budget)
    return next((s for s in affordable if s.n_cells >= s.n_parallel * useful), single_sequence(cost.n_ctx))


def asked_sequences(n_parallel: int, cost: SequenceCost, room: Room) -> Sequences:
    """So many, with the room that there is for them."""
    return _share_room(n_parallel, cost, ASKED.within(room, cost.one_bytes))


def single_sequence(n_ctx: int) -> Sequences:
    return Sequences(1, whole_cells(n_ctx))


def _share_room(n_parallel: int, cost: SequenceCost, budget_bytes: int) -> Sequences:
    whole = whole_cells(cost.n_ctx)
    left_bytes = max(0, budget_bytes - (n_parallel - 1) * cost.own_bytes)
    n_more = whole * (n_parallel - 1)
    if cost.context_bytes:
        n_more = min(n_more, whole * left_bytes // cost.context_bytes // CELLS_STEP * CELLS_STEP)
    return Sequences(n_parallel, whole + n_more)


# --------------------------------------------------------------------------------------------------------------------
# For the scheduler


@dataclass(frozen=True, slots=True)
class SequencesWanted:
    """What a model needs to be known of for its number of sequences. `asked` None: nobody said one."""

    facts: GGUFFacts
    asked: int | None = None
    others_bytes: int = 0
    """Of projectors and adapters."""

    def least(self, config: RunnerConfig) -> RunnerConfig:
        """With the room of a single context, which all have to share."""
        n_parallel = 1 if self.asked is None else self.asked
        return msgspec.structs.replace(config, n_parallel=n_parallel, n_cells=whole_cells(config.n_ctx))

    def most(self, config: RunnerConfig, room: Room) -> RunnerConfig:
        """With what memory holds at the moment."""
        cost = sequence_cost(self.facts, config, others_bytes=self.others_bytes)
        chosen = choose_sequences(cost, room) if self.asked is None else asked_sequences(self.asked, cost, room)
        return msgspec.structs.replace(config, n_parallel=chosen.n_parallel, n_cells=chosen.n_cells)
