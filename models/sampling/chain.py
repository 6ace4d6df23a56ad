"""The filters between logits and the choice, in llama.cpp's order: top_k, typical_p, top_p, min_p, temperature.

They work on candidates, the tokens that are still in the running. Each keeps the order that llama.cpp's own chain
leaves, so that the same random number picks the same token.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]


class Candidates(NamedTuple):
    """Tokens with their logits; `is_sorted`: the most likely first."""

    ids: Ids
    logits: Floats
    is_sorted: bool


def sort(candidates: Candidates) -> Candidates:
    """Most likely first; equal ones by id."""
    if candidates.is_sorted:
        return candidates
    order = np.argsort(-candidates.logits, kind="stable")
    return Candidates(candidates.ids[order], candidates.logits[order], True)


def top_k(candidates: Candidates, k: int) -> Candidates:
    """The k most likely; all for k ≤ 0."""
    if k <= 0:
        return candidates
    ids, logits, _ = sort(candidates)
    return Candidates(ids[:k], logits[:k], True)


def typical(candidates: Candidates, p: float) -> Candidates:
    """Those whose surprise is nearest to the expected surprise, up to a probability mass of p; all for p ≥ 1.

    The result is ordered by that distance.
    """
    if p >= 1:
        return candidates
    ids, logits, _ = sort(candidates)
    probs = softmax(logits)
    probs = probs[: np.count_nonzero(probs)]  # sorted: what is impossible comes last
    surprise = -np.log(probs)
    entropy = _sum(probs * surprise)
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    n = int(np.searchsorted(np.cumsum(probs[order]), np.float32(p), side="right")) + 1
    kept = order[:n]
    return Candidates(ids[kept], logits[kept], False)


def top_p(candidates: Candidates, p: float) -> Candidates:
    """The most likely ones that together have a probability of at least p; all for p ≥ 1."""
    if p >= 1:
        return candidates
    ids, logits, _ = sort(candidates)
    n = int(np.searchsorted(np.cumsum(softmax(logits)), np.float32(p), side="left")) + 1
    return Candidates(ids[:n], logits[:n], True)


def min_p(candidates: Candidates, p: float) -> Candidates:
    """Those at least p times as likely as the most likely one; all for p ≤ 0."""
    if p <= 0:
        return candidates
    ids, logits, is_sorted = candidates
    kept = logits >= logits.max() + np.log(np.float32(p))
    if kept.any():
        return Candidates(ids[kept], logits[kept], is_sorted)
    best = int(logits.argmax())  # p above 1
    return Candidates(ids[best : best + 1], logits[best : best + 1], True)


def choose(candidates: Candidates, temperature: float, u: float) -> int:
    """The token at the point u (0 to 1) of the distribution; temperature ≤ 0: the most likely."""
    ids, logits, _ = candidates
    if temperature <= 0:
        return int(ids[logits.argmax()])
    if len(ids) == 1:
        return int(ids[0])
    scaled = logits / np.float32(temperature)
    running = np.cumsum(np.exp(scaled - scaled.max()), dtype=np.float64)
    return int(ids[min(int(np.searchsorted(running, running[-1] * u, side="left")), len(ids) - 1)])


def softmax(logits: Floats) -> Floats:
    """Probabilities, with sums as llama.cpp takes them: one after the other in single precision."""
    weights: Floats = np.exp(logits - logits.max())
    weights /= _sum(weights)
    return weights


def _sum(values: Floats) -> np.float32:
    total: np.float32 = np.cumsum(values)[-1]
    return total
