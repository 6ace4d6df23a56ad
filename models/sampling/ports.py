"""What choosing asks of passes over the logits of a whole vocabulary: the seam between compiled ones and numpy."""

from __future__ import annotations

from typing import Protocol

from models.sampling.chain import Floats, Ids
from models.sampling.usable import HIGHEST

MOST_LISTED = 8192


class Passes(Protocol):
    """Makes passes over one row of logits after another, with buffers as large as the vocabulary.

    A weight is e ** (logit - best): the most likely token's is 1. Draws may be at another temperature than 1. All
    samplers of one thread share one.
    """

    weights: Floats
    """Of all tokens, after `weigh`; the next row's take their place."""
    best: float
    total: float
    """What all tokens weigh, after `weigh`."""
    mean: float
    """The expected logit, the best one subtracted, and the variance, after `weigh` with moments."""
    variance: float
    drawn_total: float
    """What those weigh, at the temperature of the draws, that draws are of."""

    # ---- the pass that begins ------------------------------------------------------------------------------------

    def read(self, logits: Floats, *, with_maxima: bool = False) -> float:
        """The best logit of a row, which the other passes then work on: (n_vocab,), not changed meanwhile.

        Raises: UnusableOutput; ValueError, TypeError or BufferError for what is too short or lies in pieces.
        """

    # ---- weights and draws ---------------------------------------------------------------------------------------

    def weigh(self, temperature: float, *, with_moments: bool = False) -> float:
        """All weights, and their sum; prepares draws at this temperature."""

    def sum(self, temperature: float, low: float = -HIGHEST, high: float = HIGHEST) -> None:
        """Prepare draws at this temperature of the tokens whose logits are from `low` to `high`; no weights."""

    def restrict(self, low: float, high: float) -> None:
        """Let draws be of fewer tokens."""

    def find(self, u: float) -> int:
        """The token at a point (0 to 1) of the distribution that draws are of; -1: all of those weigh too little."""

    # ---- questions about weights ---------------------------------------------------------------------------------

    def at_least(self, *weights: float) -> list[float]:
        """For each of 2 or 3 weights what the tokens weigh together that weigh at least so much.

        For 4 these, and the greatest weights that are below the second and below the fourth; 0 if there are none.
        """

    # ---- lists ---------------------------------------------------------------------------------------------------

    def maxima(self) -> Floats:
        """The best logits of groups of 16 tokens, after `read` with them; those left over are in none."""

    def between(self, low: float, high: float = HIGHEST, *, with_maxima: bool = False) -> Ids | None:
        """The tokens whose logits are from `low` to `high`, by id; None: more than MOST_LISTED.

        `with_maxima`: there are those of this row, which is quicker for few tokens and the highest `high`.
        """

    def weighing(self, low: float, high: float, most: int = MOST_LISTED) -> Ids | None:
        """The tokens that weigh from `low` to `high`, by id; None: more than `most`."""
