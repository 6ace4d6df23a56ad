"""The few tokens that can be picked, found in a vocabulary of 100,000 without sorting it.

Each search is exact: it returns what llama.cpp's filter would keep of the whole vocabulary. What makes it fast is a
guess how far below the best logit the last kept one lies, carried over from the token before, checked, and corrected.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.errors import UnusableOutput
from models.sampling import chain
from models.sampling.chain import Candidates, Floats

UNUSABLE = "the model's output is not a number"

_FIRST_REACH = 8.0
_SPARE = 3
"""Times as many candidates as needed is what a guess aims at."""
_BLOCK = 512


class Scratch:
    """Buffers as large as the vocabulary, shared by all samplers of one thread."""

    def __init__(self, n_vocab: int) -> None:
        self.n_vocab = n_vocab
        self.above = np.empty(n_vocab, dtype=np.bool_)
        self.values = np.empty(n_vocab, dtype=np.float32)


class Shortlist:
    """Searches the logits of one sequence, remembering how far it had to reach."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._reach = np.float32(_FIRST_REACH)

    def top_k(self, logits: Floats, k: int) -> Candidates:
        """The k most likely tokens. Raises: UnusableOutput."""
        best = _best(logits)
        ids = self._at_least(logits, best - self._reach)
        if len(ids) < k:
            ids = self._at_least(logits, np.partition(logits, len(logits) - k)[len(logits) - k])
        found = chain.sort(Candidates(ids, logits[ids], False))
        self._remember(best, found.logits, k)
        return chain.top_k(found, k)

    def top_p(self, logits: Floats, p: float) -> Candidates:
        """The most likely tokens that together have a probability of at least p. Raises: UnusableOutput."""
        best = _best(logits)
        weights = np.exp(np.subtract(logits, best, out=self._scratch.values), out=self._scratch.values)
        wanted = np.float32(p) * weights.sum()
        reach = self._reach
        while True:
            ids = self._at_least(logits, best - reach)
            if weights[ids].sum() >= wanted or len(ids) == len(logits):
                break
            reach = reach * 2 if reach < 64 else np.float32(np.inf)
        found = chain.sort(Candidates(ids, logits[ids], False))
        n = min(int(np.searchsorted(np.cumsum(weights[found.ids]), wanted)) + 1, len(ids))
        self._remember(best, found.logits, n)
        return Candidates(found.ids[:n], found.logits[:n], True)

    def min_p(self, logits: Floats, p: float) -> Candidates:
        """The tokens at least p times as likely as the most likely one, by id. Raises: UnusableOutput."""
        ids = self._at_least(logits, _best(logits) + np.log(np.float32(min(p, 1))))
        return Candidates(ids, logits[ids], False)

    def typical(self, logits: Floats, p: float) -> Candidates:
        """What `chain.typical` keeps of the whole vocabulary. Raises: UnusableOutput."""
        shifted = np.subtract(logits, _best(logits), out=self._scratch.values)
        weights = np.exp(shifted)
        total = weights.sum()
        possible = np.flatnonzero(weights)
        surprise = np.log(total) - shifted[possible]
        probs = weights[possible] / total
        distance = np.abs(surprise - np.dot(probs, surprise))
        near = np.flatnonzero(distance <= self._near_enough(distance, probs, np.float32(p)))
        order = near[np.argsort(distance[near], kind="stable")]
        n = int(np.searchsorted(np.cumsum(probs[order]), np.float32(p), side="right")) + 1
        ids = possible[order[:n]]
        return Candidates(ids, logits[ids], False)

    @staticmethod
    def _near_enough(distance: Floats, probs: Floats, p: np.float32) -> np.float32:
        """A distance within which a probability of more than p lies, or all of it."""
        reach = np.float32(0.5)
        furthest: np.float32 = distance.max()
        while reach < furthest and probs[distance <= reach].sum() <= p:
            reach = reach * 2
        return reach

    def choose(self, logits: Floats, temperature: float, u: float) -> int:
        """The token at the point u (0 to 1) of the whole vocabulary's distribution. Raises: UnusableOutput."""
        weights = np.subtract(logits, _best(logits), out=self._scratch.values)
        if temperature != 1:
            weights /= np.float32(temperature)
        np.exp(weights, out=weights)
        n_whole = len(weights) // _BLOCK * _BLOCK
        sums = weights[:n_whole].reshape(-1, _BLOCK).sum(axis=1)
        running = np.cumsum(np.append(sums, weights[n_whole:].sum()), dtype=np.float64)
        target = running[-1] * u
        block = int(np.searchsorted(running, target))
        start = block * _BLOCK
        within = np.cumsum(weights[start : start + _BLOCK], dtype=np.float64)
        offset = int(np.searchsorted(within, target - (running[block - 1] if block else 0.0)))
        return start + min(offset, len(within) - 1)

    def _at_least(self, logits: Floats, threshold: np.float32) -> npt.NDArray[np.intp]:
        return np.flatnonzero(np.greater_equal(logits, threshold, out=self._scratch.above))

    def _remember(self, best: np.float32, found: Floats, n_needed: int) -> None:
        """Aim at a few more than were needed; found too few to know: reach further."""
        aim = n_needed * _SPARE
        reach = best - found[aim - 1] if len(found) >= aim else self._reach * np.float32(1.1) + np.float32(0.1)
        self._reach = min(max(reach, np.float32(0.1)), np.float32(1000))


def greedy(logits: Floats) -> int:
    """The most likely token. Raises: UnusableOutput."""
    token = int(logits.argmax())
    if not np.isfinite(logits[token]):
        raise UnusableOutput(UNUSABLE)
    return token


def _best(logits: Floats) -> np.float32:
    best: np.float32 = logits.max()
    if not np.isfinite(best):
        raise UnusableOutput(UNUSABLE)
    return best
