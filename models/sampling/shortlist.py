"""The few tokens that can be picked, found in a vocabulary of 100,000 without sorting it.

Each search keeps what llama.cpp's filter would keep of the whole vocabulary. The k most likely tokens are found through
the best logit of each of 4096 columns: the k-th best of those is at most the k-th best of all.
"""

from __future__ import annotations

import numpy as np

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import MANY, Candidates, Floats, Ids
from models.sampling.passes import Passes
from models.sampling.usable import HIGHEST, LOWEST, UNUSABLE, best_of
from models.sampling.whole import Scratch, Whole

_FIRST_GUESS = 64
_FEW = 8
"""If one column in so many or more has such tokens, looking at all of the vocabulary is quicker."""


class Shortlist:
    """Searches the logits of one sequence; remembers how many tokens the last nucleus had."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._n_nucleus = _FIRST_GUESS

    def top_k(self, logits: Floats, k: int) -> Candidates:
        """The k most likely tokens, fewer where fewer are possible; all for k ≤ 0. Raises: UnusableOutput."""
        if k <= 0:
            best_of(logits)
            return Candidates(np.arange(len(logits)), logits, False)
        return chain.top_k(_candidates(logits, self.most_likely(logits, k)), k)

    def top_p(self, whole: Whole, p: float) -> Candidates:
        """The most likely tokens that together have a probability of at least p; sorted, unless there are very many."""
        scores, weights, wanted = whole.scores, whole.weights, np.float32(p * whole.total)
        n = self._n_nucleus
        while n <= MANY:
            ids, _, _ = chain.sort(_candidates(scores, self.most_likely(scores, n)))
            running = weights[ids].cumsum()
            if running[-1] >= wanted or len(ids) < n:
                n_kept = int(running.searchsorted(wanted)) + 1
                self._n_nucleus = min(max(2 * n_kept, _FIRST_GUESS), MANY)
                return Candidates(ids[:n_kept], whole.logits_of(ids[:n_kept]), True)
            n *= 4
        self._n_nucleus = MANY
        ids = chain.take_mass(-scores, weights, wanted)
        return Candidates(ids, whole.logits_of(ids), False)

    def min_p(self, logits: Floats, p: float) -> Candidates:
        """The tokens at least p times as likely as the most likely one, by id. Raises: UnusableOutput."""
        passes = self._scratch.passes
        if passes is not None:
            best = np.float32(passes.read(logits, with_maxima=True))
            return _candidates(logits, self._between(passes, logits, float(best + np.log(np.float32(min(p, 1))))))
        bests = self._bests(logits)
        return _candidates(logits, self._above(logits, bests, best_of(bests) + np.log(np.float32(min(p, 1)))))

    def most_likely(self, logits: Floats, k: int) -> Ids:
        """At least the k most likely of the possible tokens, in order of their ids. Raises: UnusableOutput."""
        n, n_columns = len(logits), self._scratch.n_columns
        k = min(k, n)
        passes = self._scratch.passes
        if passes is not None and 2 * k <= len(passes.maxima()):
            passes.read(logits, with_maxima=True)
            return self._between(passes, logits, max(_kth(passes.maxima(), k), LOWEST))
        if n < 4 * n_columns or 2 * k > n_columns:
            best_of(logits)
            return np.flatnonzero(logits >= max(_kth(logits, k), LOWEST))
        bests = self._bests(logits)
        best_of(bests)
        return self._above(logits, bests, max(_kth(bests, k), LOWEST))

    def above(self, logits: Floats, threshold: float | np.float32) -> Candidates:
        """The tokens from this logit on, by id."""
        passes = self._scratch.passes
        if passes is not None:
            passes.read(logits, with_maxima=True)
            return _candidates(logits, self._between(passes, logits, float(threshold)))
        return _candidates(logits, self._above(logits, self._bests(logits), threshold))

    def _between(self, passes: Passes, logits: Floats, threshold: float) -> Ids:
        """The tokens from this logit on, of the row that was read with its maxima."""
        found = passes.between(threshold, with_maxima=True)
        return np.flatnonzero(logits >= np.float32(threshold)) if found is None else found

    def _bests(self, logits: Floats) -> Floats:
        """The best logit of each column."""
        n_columns = self._scratch.n_columns
        n_rows = len(logits) // n_columns
        if n_rows == 0:
            return logits
        bests: Floats = logits[: n_rows * n_columns].reshape(n_rows, n_columns).max(axis=0)
        rest = logits[n_rows * n_columns :]
        if len(rest):
            np.maximum(bests[: len(rest)], rest, out=bests[: len(rest)])
        return bests

    def _above(self, logits: Floats, bests: Floats, threshold: float | np.float32) -> Ids:
        """The tokens from this logit on, in order of their ids, looked for in the columns that have some."""
        n_columns = len(bests)
        columns = (bests >= threshold).nonzero()[0]
        if _FEW * len(columns) > n_columns:
            return np.flatnonzero(logits >= threshold)
        n_rows = len(logits) // n_columns
        table = logits[: n_rows * n_columns].reshape(n_rows, n_columns)
        rows, places = (table.take(columns, axis=1) >= threshold).nonzero()
        ids: Ids = rows * n_columns + columns[places]
        rest = logits[n_rows * n_columns :]
        if len(rest):
            ids = np.concatenate([ids, (rest >= threshold).nonzero()[0] + n_rows * n_columns])
        return ids


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
