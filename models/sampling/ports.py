"""What choosing asks of passes over the logits of a whole vocabulary: the seam between compiled ones and numpy."""

from __future__ import annotations

import random
from typing import Protocol

from models.sampling.chain import Filters, Floats, Ids

MOST_LISTED = 8192


class Passes(Protocol):
    """Makes passes over one row of logits after another, with buffers as large as the vocabulary.

    A weight is e ** (logit - best): the most likely token's is 1. All samplers of one thread share one.
    """

    weights: Floats
    """Of all tokens, after `weigh`; the next row's take their place."""
    mean: float
    """The expected logit, the best one subtracted, after `weigh` with it."""

    def choose(self, logits: Floats, filters: Filters, source: random.Random) -> int:
        """A token of those that the filters leave, by its chance, at a temperature above 0.

        logits: (n_vocab,), not changed. Raises: UnusableOutput; ValueError, TypeError or BufferError as `read`.
        """

    def choose_among(self, logits: Floats, tokens: Ids, filters: Filters, source: random.Random) -> int:
        """The same, but as if there were no other tokens than these, in the order of their ids."""

    # ---- the pass that begins ------------------------------------------------------------------------------------

    def read(self, logits: Floats, *, with_maxima: bool = False) -> float:
        """The best logit of a row, which the other passes then work on: (n_vocab,), not changed meanwhile.

        Raises: UnusableOutput; ValueError, TypeError or BufferError for what is too short or lies in pieces.
        """

    # ---- weights ---------------------------------------------------------------------------------------------------

    def weigh(self, *, with_mean: bool = False) -> float:
        """All weights, and their sum."""

    # ---- lists ---------------------------------------------------------------------------------------------------

    def maxima(self) -> Floats:
        """The best logits of groups of 16 tokens, after `read` with them; those left over are in none."""

    def from_logit(self, low: float) -> Ids | None:
        """The tokens whose logits are at least that, by id, after `read` with maxima; None: more than MOST_LISTED."""
