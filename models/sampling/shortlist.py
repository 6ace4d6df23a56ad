"""The few tokens that can be picked, found in a vocabulary of 100,000 without sorting it.

Each search keeps what llama.cpp's filter would keep of the whole vocabulary. The k most likely tokens are found through
the best logits of groups of tokens: the k-th best of those is at most the k-th best of all.
"""

from __future__ import annotations

import numpy as np

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import MANY, Candidates, Filters, Floats, Ids
from models.sampling.ports import Passes
from models.sampling.usable import HIGHEST, LOWEST, UNUSABLE, best_of

_FIRST_GUESS = 64


class Shortlist:
    """Searches the logits of one sequence; remembers how many tokens the last nucleus had."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._n_nucleus = _FIRST_GUESS

    def top_k(self, logits: Floats, k: int) -> Candidates:
        """The k most likely tokens, fewer where fewer are possible; all for k ≤ 0. Raises: UnusableOutput."""
        if k <= 0:
            best_of(logits)
            return Candidates(np.arange(len(logits)), logits, False)
        return chain.top_k(self._most_likely(logits, k), k)

    def top_p(self, logits: Floats, p: float) -> Candidates:
        """The most likely tokens that together have a probability of at least p; sorted, unless there are very many.

        Raises: UnusableOutput.
        """
        self._passes.read(logits)
        wanted, weights = np.float32(p * self._passes.weigh()), self._passes.weights
        n = self._n_nucleus
        while n <= MANY:
            found = chain.sort(self._most_likely(logits, n))
            running = weights[found.ids].cumsum()
            if running[-1] >= wanted or len(found.ids) < n:
                n_kept = int(running.searchsorted(wanted)) + 1
                self._n_nucleus = min(max(2 * n_kept, _FIRST_GUESS), MANY)
                return chain.top_k(found, n_kept)
            n *= 4
        self._n_nucleus = MANY
        return _candidates(logits, chain.take_mass(-logits, weights, wanted))

    def min_p(self, logits: Floats, p: float) -> Candidates:
        """The tokens at least p times as likely as the most likely one, by id. Raises: UnusableOutput."""
        best = np.float32(self._passes.read(logits, with_maxima=True))
        return self._from(logits, float(best + np.log(np.float32(min(p, 1)))))

    def above(self, logits: Floats, threshold: float | np.float32) -> Candidates:
        """The tokens from this logit on, by id. Raises: UnusableOutput."""
        self._passes.read(logits, with_maxima=True)
        return self._from(logits, float(threshold))

    def _most_likely(self, logits: Floats, k: int) -> Candidates:
        """At least the k most likely of the possible tokens, by id."""
        self._passes.read(logits, with_maxima=True)
        bests = self._passes.maxima()
        k = min(k, len(logits))
        return self._from(logits, max(_kth(bests if 2 * k <= len(bests) else logits, k), LOWEST))

    def _from(self, logits: Floats, threshold: float) -> Candidates:
        """The tokens from this logit on, by id, of the row that was read with its maxima."""
        found = self._passes.from_logit(threshold)
        return _candidates(logits, np.flatnonzero(logits >= np.float32(threshold)) if found is None else found)


def choose_listed(passes: Passes, logits: Floats, filters: Filters, u: float, drawn: int | None = None) -> int:
    """A token at the point u of what the filters leave, or the one that was drawn, if it is among them.

    Raises: UnusableOutput.
    """
    if filters.top_k > 0:
        found = Shortlist(passes).top_k(logits, filters.top_k)
    else:
        best_of(logits)
        found = _candidates(logits, np.flatnonzero(logits > -np.inf))
    found = chain.filtered(found, filters)
    return drawn if drawn is not None and drawn in found.ids else chain.choose(found, filters.temperature, u)


def choose_listed_among(logits: Floats, tokens: Ids, filters: Filters, u: float) -> int:
    """The same, as if there were no other tokens than these. Raises: UnusableOutput."""
    among = logits[tokens]
    best_of(among)
    possible = among > -np.inf
    found = chain.top_k(Candidates(tokens[possible], among[possible], False), filters.top_k)
    return chain.choose(chain.filtered(found, filters), filters.temperature, u)


def _kth(values: Floats, k: int) -> float:
    """The k-th best."""
    place = len(values) - k
    return float(np.partition(values, place)[place])


def _candidates(logits: Floats, ids: Ids) -> Candidates:
    return Candidates(ids, logits[ids], False)


def greedy(logits: Floats) -> int:
    """The most likely token. Raises: UnusableOutput."""
    token = int(logits.argmax())
    if not LOWEST <= logits[token] <= HIGHEST:
        raise UnusableOutput(UNUSABLE)
    return token
