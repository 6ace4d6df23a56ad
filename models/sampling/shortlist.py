"""The few tokens that can be picked, found in a vocabulary of 100,000 without sorting it.

Each search keeps what llama.cpp's filter would keep of the whole vocabulary. The k most likely tokens are found through
the best logit of each of 4096 columns: the k-th best of those is at most the k-th best of all.
"""

from __future__ import annotations

import math

import numpy as np

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import MANY, Candidates, Floats, Ids

UNUSABLE = "the model's output is not a number"

_COLUMNS = 4096
"""About so many; a divisor of the vocabulary's size where there is one, so that nothing is left over."""
_FIRST_GUESS = 64
_HIGHEST = np.finfo(np.float32).max
_LOWEST = -_HIGHEST
_LOG2_E = math.log2(math.e)
_FAINT = 1e-20


class Scratch:
    """What all samplers of one thread share: a buffer as large as the vocabulary, and how to divide it."""

    def __init__(self, n_vocab: int) -> None:
        self.values = np.empty(n_vocab, dtype=np.float32)
        self.n_columns = _columns(n_vocab)


def _columns(n_vocab: int) -> int:
    fitting = [n for n in range(_COLUMNS // 2, 2 * _COLUMNS) if n_vocab % n == 0]
    return min(fitting, key=lambda n: abs(n - _COLUMNS), default=_COLUMNS)


class Shortlist:
    """Searches the logits of one sequence; remembers how many tokens the last nucleus had."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._n_nucleus = _FIRST_GUESS

    def top_k(self, logits: Floats, k: int) -> Candidates:
        """The k most likely tokens, fewer where fewer are possible. Raises: UnusableOutput."""
        return chain.top_k(_candidates(logits, self.most_likely(logits, k)), k)

    def top_p(self, logits: Floats, p: float) -> Candidates:
        """The most likely tokens that together have a probability of at least p. Raises: UnusableOutput.

        Sorted, unless there are very many.
        """
        best = _best(logits)
        weights = self._weights(logits, 1.0, best)
        wanted = np.float32(p) * chain.block_sums(weights).sum()
        n = self._n_nucleus
        while n <= MANY:
            ids, found, _ = chain.sort(_candidates(logits, self.most_likely(logits, n)))
            running = weights[ids].cumsum()
            if running[-1] >= wanted or len(ids) < n:
                n_kept = int(running.searchsorted(wanted)) + 1
                self._n_nucleus = min(max(2 * n_kept, _FIRST_GUESS), MANY)
                return Candidates(ids[:n_kept], found[:n_kept], True)
            n *= 4
        self._n_nucleus = MANY
        return _candidates(logits, chain.take_mass(best - logits, weights, wanted))

    def min_p(self, logits: Floats, p: float) -> Candidates:
        """The tokens at least p times as likely as the most likely one, by id. Raises: UnusableOutput."""
        return _candidates(logits, (logits >= _best(logits) + np.log(np.float32(min(p, 1)))).nonzero()[0])

    def typical(self, logits: Floats, p: float) -> Candidates:
        """What `chain.typical` keeps of the whole vocabulary. Raises: UnusableOutput."""
        possible = self._weights(logits, 1.0, _best(logits)).nonzero()[0]
        return chain.typical(_candidates(logits, possible), p)

    def choose(self, logits: Floats, temperature: float, u: float) -> int:
        """The token at the point u (0 to 1) of the whole vocabulary's distribution. Raises: UnusableOutput."""
        with np.errstate(over="ignore"):
            weights = self._weights(logits, temperature, np.float32(0))
        sums = chain.block_sums(weights)
        if not _FAINT < sums.sum() < np.inf:  # too large or too small to do without the best one
            weights = self._weights(logits, temperature, _best(logits))
            sums = chain.block_sums(weights)
        return chain.pick_by_blocks(weights, sums, u)

    def most_likely(self, logits: Floats, k: int) -> Ids:
        """At least the k most likely of the possible tokens, in order of their ids. Raises: UnusableOutput."""
        n, n_columns = len(logits), self._scratch.n_columns
        k = min(k, n)
        n_rows = n // n_columns
        if n_rows < 4 or 2 * k > n_columns:
            _best(logits)
            return np.flatnonzero(logits >= max(np.partition(logits, n - k)[n - k], _LOWEST))
        table = logits[: n_rows * n_columns].reshape(n_rows, n_columns)
        bests = table.max(axis=0)
        rest = logits[n_rows * n_columns :]
        if len(rest):
            np.maximum(bests[: len(rest)], rest, out=bests[: len(rest)])
        _best(bests)
        threshold = max(np.partition(bests, n_columns - k)[n_columns - k], _LOWEST)
        columns = (bests >= threshold).nonzero()[0]
        rows, places = (table.take(columns, axis=1) >= threshold).nonzero()
        ids: Ids = rows * n_columns + columns[places]
        if len(rest):
            ids = np.concatenate([ids, (rest >= threshold).nonzero()[0] + n_rows * n_columns])
        return ids

    def _weights(self, logits: Floats, temperature: float, best: np.float32) -> Floats:
        """exp((logits - best) / temperature), in a shared buffer."""
        values = self._scratch.values
        if best != 0:
            logits = np.subtract(logits, best, out=values)
        np.multiply(logits, np.float32(_LOG2_E / max(temperature, chain.LEAST_TEMPERATURE)), out=values)
        return np.exp2(values, out=values)  # half the time of exp


def _candidates(logits: Floats, ids: Ids) -> Candidates:
    return Candidates(ids, logits[ids], False)


def greedy(logits: Floats) -> int:
    """The most likely token. Raises: UnusableOutput."""
    token = int(logits.argmax())
    if not _LOWEST <= logits[token] <= _HIGHEST:
        raise UnusableOutput(UNUSABLE)
    return token


def _best(logits: Floats) -> np.float32:
    best: np.float32 = logits.max()
    if not _LOWEST <= best <= _HIGHEST:  # NaN compares as false
        raise UnusableOutput(UNUSABLE)
    return best
