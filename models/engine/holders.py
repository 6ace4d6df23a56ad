"""Who holds what is computed already: slots, and states in host memory."""

from __future__ import annotations

from collections.abc import Iterator

from models.engine.ports import Blob, Context, Tokens
from models.engine.prefix import Match, MemoryRules, usable_prefix
from models.engine.radix import RadixTree
from models.engine.saved import SavedState, SavedStates
from models.engine.slot import Slot
from models.runner.settings import AdapterSet


class Holders:
    """Found by how a prompt begins; each set of adapters has its own."""

    def __init__(self, context: Context, rules: MemoryRules, saved: SavedStates) -> None:
        self._context = context
        self._rules = rules
        self._saved = saved
        self._index: RadixTree[Slot | SavedState] = RadixTree()

    def matches(self, prompt: Tokens, adapters: AdapterSet) -> Iterator[Match]:
        """Those that begin like a prompt, with the number of tokens in common, longest first."""
        for n_common, holder in self._index.matches(prompt, adapters):
            yield n_common, holder if isinstance(holder, SavedState) else holder.holding(self._low(holder))

    def note(self, slot: Slot) -> None:
        """The slot's tokens are others now."""
        if slot.n_tokens:
            self._index.put(slot, slot.tokens, slot.adapters)
        else:
            self._index.discard(slot)
        slot.n_indexed = slot.n_tokens

    def n_elsewhere(self, slot: Slot, n: int) -> int:
        """How much of the slot's first `n` tokens something else holds the state of."""
        found = (
            usable_prefix(n + 1, n_common, holder, self._rules)
            for n_common, holder in self.matches(slot.tokens[:n], slot.adapters)
            if isinstance(holder, SavedState) or holder.slot != slot.seq_id
        )
        return max(found, default=0)

    def keep(self, slot: Slot, n: int, blob: Blob) -> None:
        """Keep what was read from a slot when it had its first `n` tokens."""
        low = max(self._low(slot), n - self._rules.n_swa) if self._rules.n_swa else 0  # only the window is copied
        state = SavedState(slot.tokens[:n].copy(), blob, low, slot.adapters)
        if self._rules.can_go_back:  # then it holds what those hold that end on its way
            for n_common, other in list(self._index.matches(state.tokens, state.adapters)):
                if isinstance(other, SavedState) and n_common == other.n_computed:
                    self._saved.drop(other)
                    self._index.discard(other)
        for gone in self._saved.add(state):
            self._index.discard(gone)
        self._index.put(state, state.tokens, state.adapters)

    def touch(self, state: SavedState) -> None:
        """It was of use, if it is still there."""
        if state in self._index:
            self._saved.touch(state)

    def best_saved(self, slot: Slot) -> tuple[int, SavedState | None]:
        """The saved state that stands for most of a slot's tokens, and for how many."""
        alike = self._index.matches(slot.tokens, slot.adapters)
        states = [(n, holder) for n, holder in alike if isinstance(holder, SavedState)]
        usable = [(usable_prefix(slot.n_tokens, n, state, self._rules), state) for n, state in states]
        return max(usable, key=lambda pair: pair[0], default=(0, None))

    def _low(self, slot: Slot) -> int:
        return self._context.span(slot.seq_id)[0] if self._rules.n_swa and slot.n_computed else 0
