"""One place in the context, and the bookkeeping of what its cells hold."""

from __future__ import annotations

import bisect

import numpy as np

from models.engine.media import Media, PlacedMedia
from models.engine.ports import Tokens
from models.engine.prefix import Holding
from models.engine.sequence import Sequence
from models.runner.settings import AdapterSet
from models.sampling.backend import BackendChain


class Slot:
    """One place in the context: the tokens of its sequence, how many of them have cells, and who runs there.

    When a sequence ends its cells stay, for one that begins alike.
    """

    def __init__(self, seq_id: int, n_ctx: int, n_scored: int = 0) -> None:
        """`n_scored`: tokens of a prompt that is scored that a step may compute."""
        self.seq_id = seq_id
        self._n_scored = n_scored
        self.sequence: Sequence | None = None
        self.adapters: AdapterSet = ()
        """What its tokens are, or were, computed with."""
        self.n_tokens = 0
        self.n_computed = 0
        self.n_reusable = n_ctx
        """Beyond so many tokens the state came about otherwise than by computing the tokens (see `Slots.shift`)."""
        self.n_shared = 0
        """So many of the first cells may belong to other sequences too."""
        self.n_indexed = 0
        """So many tokens are known to the index of prefixes."""
        self.is_parked = False
        """Waits for cells, until another sequence ends."""
        self.last_used = 0
        self._stops: list[int] = []
        self._tokens = np.zeros(n_ctx + 1, dtype=np.int32)

    @property
    def tokens(self) -> Tokens:
        return self._tokens[: self.n_tokens]

    @property
    def pending(self) -> Tokens:
        """Tokens to compute; one while decoding, many during prefill."""
        return self._tokens[self.n_computed : self.n_tokens]

    @property
    def n_pending(self) -> int:
        return self.n_tokens - self.n_computed

    @property
    def n_next(self) -> int:
        """Pending tokens up to the next stop or image: a step computes no more of them."""
        n = min(self.n_pending, self._stops[0] - self.n_computed) if self._stops else self.n_pending
        n = min(n, self._n_scored) if self.is_scoring else n
        following = self._following_media()
        return n if following is None else min(n, following.start - self.n_computed)

    @property
    def chain(self) -> BackendChain | None:
        """How the backend picks its next token; None: that is left to the sampler of its sequence."""
        return None if self.sequence is None else self.sequence.task.chain

    @property
    def is_scoring(self) -> bool:
        """Whether the logits of all tokens are wanted that are computed next."""
        return self.sequence is not None and self.sequence.is_scoring

    @property
    def has_media(self) -> bool:
        return self.sequence is not None and bool(self.sequence.task.media)

    @property
    def media(self) -> Media | None:
        """The image or sound that has to be computed before any token."""
        following = self._following_media()
        return following.media if following is not None and following.start == self.n_computed else None

    def _following_media(self) -> PlacedMedia | None:
        if self.sequence is None or not self.sequence.task.media:
            return None
        return next((one for one in self.sequence.task.media if one.start >= self.n_computed), None)

    def start(self, sequence: Sequence, n_computed: int) -> None:
        self.sequence = sequence
        self.adapters = sequence.task.adapters
        tokens = sequence.task.prompt
        self._tokens[: len(tokens)] = tokens
        self.n_tokens, self.n_computed = len(tokens), n_computed
        self._stops = []

    def append(self, token: int) -> None:
        self._tokens[self.n_tokens] = token
        self.n_tokens += 1

    def cut(self, start: int, end: int) -> None:
        """Drop the tokens start … end - 1; the rest moves up."""
        self._tokens[start : self.n_tokens - (end - start)] = self._tokens[end : self.n_tokens].copy()
        self.n_tokens -= end - start
        self.n_indexed = 0

    def stop_at(self, n: int) -> None:
        """Let a step end when the first `n` tokens are computed, and no more."""
        if self.n_computed < n < self.n_tokens and n not in self._stops:
            bisect.insort(self._stops, n)

    def advance(self, n: int) -> bool:
        """The next `n` tokens are computed. True: that is where to stop, or past it, as an image may lead."""
        self.n_computed += n
        if not self._stops:
            return False
        n_stops = len(self._stops)
        self._stops = [stop for stop in self._stops if stop > self.n_computed]
        return len(self._stops) < n_stops

    def holding(self, low: int) -> Holding:
        """What the prefix rules see of it; nobody waits for one that waits itself."""
        return Holding(
            slot=self.seq_id,
            is_free=self.sequence is None,
            n_tokens=self.n_computed if self.is_parked else self.n_tokens,
            n_computed=self.n_computed,
            n_reusable=self.n_reusable,
            low=low,
            last_used=self.last_used,
        )
