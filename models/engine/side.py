"""A second context, in which one long prompt at a time is computed apart from what the first one holds.

All sequences share the cells of a context, and attention looks at each of them, if only to see that it belongs to
another sequence: on a processor that costs a prompt a fifth of its time for every 2,000 cells of others. Its own cells
are copied over when it is done, which costs a three-hundredth.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from models.engine.ports import Context
from models.engine.slot import Slot
from models.errors import LoadError

log = logging.getLogger(__name__)

MANY_OTHERS = 512
"""Cells of others from which on a prompt is computed apart."""
LONG_PROMPT = 256
_STEP = 1024


class Side:
    """At most one slot is here; its tokens have cells of `context`, and none of the main one."""

    def __init__(self, open_context: Callable[[int], Context], n_most: int) -> None:
        """`open_context` makes a context of one sequence, with so many cells. Longer prompts than `n_most` stay."""
        self._open = open_context
        self._n_most = n_most
        self._context: Context | None = None
        self.slot: Slot | None = None

    @property
    def context(self) -> Context:
        assert self._context is not None, "nobody was here yet"
        return self._context

    def suits(self, slot: Slot, n_others: int) -> bool:
        """Whether the prompt had better be computed here."""
        is_long = slot.n_computed == 0 and LONG_PROMPT <= slot.n_pending <= self._n_most
        has_media = slot.sequence is not None and bool(slot.sequence.task.media)
        return self.slot is None and is_long and not has_media and n_others >= MANY_OTHERS

    def take(self, slot: Slot) -> bool:
        """Begin with a slot. False: there is no memory for it, now or ever."""
        n_cells = min(-(-slot.n_tokens // _STEP) * _STEP, self._n_most)
        if self._context is None or self._context.n_cells < n_cells:
            self.close()
            try:
                self._context = self._open(n_cells)
            except LoadError as error:
                log.warning("long prompts are computed beside everything else: %s", error)
                self._n_most = 0
                return False
        self.slot = slot
        slot.is_aside = True
        return True

    def leave(self) -> None:
        """The slot goes; what was computed here is forgotten."""
        if self.slot is not None:
            self.slot.is_aside = False
            self.slot = None
            self.context.forget(0)

    def close(self) -> None:
        """Free the memory."""
        if self._context is not None:
            self._context.close()
            self._context = None
