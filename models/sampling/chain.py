"""The filters between logits and the choice, in llama.cpp's order: top_k, typical_p, top_p, min_p, temperature.

They work on candidates, the tokens that are still in the running. Each keeps the order that llama.cpp's own chain
leaves, so that the same random number picks the same token; where there are very many, they stay in order of their ids
instead, which changes nothing about their chances.
"""

from __future__ import annotations

import bisect
import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

MANY = 2048
"""Candidates that are not worth sorting."""
LEAST_TEMPERATURE = 1e-6

_FEW = 100
BLOCK = 512
_ONES = np.ones(BLOCK, dtype=np.float32)
_BISECTIONS = 30
_LEAST_MASS = 1e-30
_SAMPLE, _MARGIN = 2048, 0.08
_NARROW, _BESIDE = 0.004, 0.06


class Candidates(NamedTuple):
    """Tokens with their logits; `is_sorted`: the most likely first."""

    ids: Ids
    logits: Floats
    is_sorted: bool


class Filters(NamedTuple):
    """The usual ones; typical_p and top_p do nothing at 1, min_p and top_k at 0."""

    temperature: float
    typical_p: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    top_k: int = 0


def sort(candidates: Candidates) -> Candidates:
    """Most likely first; equal ones by id."""
    if candidates.is_sorted:
        return candidates
    order = (-candidates.logits).argsort(kind="stable")
    return Candidates(candidates.ids[order], candidates.logits[order], True)


def top_k(candidates: Candidates, k: int) -> Candidates:
    """The k most likely; all for k ≤ 0."""
    if k <= 0:
        return candidates
    ids, logits, _ = sort(candidates)
    return Candidates(ids[:k], logits[:k], True)


def typical(candidates: Candidates, p: float, n_least: int = 0) -> Candidates:
    """Those whose surprise is nearest to the expected surprise, up to a probability mass of p; all for p ≥ 1.

    `n_least` of them in any case. The result is ordered by that distance.
    """
    if p >= 1:
        return candidates
    ids, logits, _ = candidates if len(candidates.ids) > MANY else sort(candidates)
    probs = softmax(logits, logits.max())
    possible = probs > 0
    if not possible.all():
        ids, logits, probs = ids[possible], logits[possible], probs[possible]
    surprise = -np.log(probs)
    distance = np.abs(surprise - _sum(probs * surprise))
    if len(ids) > MANY:
        kept = take_mass(distance, probs, np.float32(p))
        if len(kept) < n_least:
            kept = _smallest(distance, n_least)
    else:
        order = distance.argsort(kind="stable")
        n_kept = int(probs[order].cumsum().searchsorted(np.float32(p), side="right")) + 1
        kept = order[: max(n_kept, n_least)]
    return Candidates(ids[kept], logits[kept], False)


def top_p(candidates: Candidates, p: float, n_least: int = 0) -> Candidates:
    """The most likely ones that together have a probability of at least p, `n_least` in any case; all for p ≥ 1."""
    if p >= 1:
        return candidates
    ids, logits, is_sorted = candidates
    if len(ids) > MANY and not is_sorted:
        kept = take_mass(-logits, softmax(logits, logits.max()), np.float32(p))
        if len(kept) >= n_least:
            return Candidates(ids[kept], logits[kept], False)
    ids, logits, _ = sort(candidates)
    n = int(softmax(logits, logits[0]).cumsum().searchsorted(np.float32(p))) + 1
    n = max(n, n_least)
    return Candidates(ids[:n], logits[:n], True)


def min_p(candidates: Candidates, p: float, n_least: int = 0) -> Candidates:
    """Those at least p times as likely as the most likely one, `n_least` in any case; all for p ≤ 0."""
    if p <= 0:
        return candidates
    ids, logits, is_sorted = candidates
    kept = logits >= (logits[0] if is_sorted else logits.max()) + np.log(np.float32(p))
    n_least = max(n_least, 1)  # p may be above 1
    n = np.count_nonzero(kept)
    if n < n_least:
        return top_k(candidates, n_least)
    if is_sorted:
        return Candidates(ids[:n], logits[:n], True)
    return Candidates(ids[kept], logits[kept], is_sorted)


def filtered(candidates: Candidates, filters: Filters) -> Candidates:
    """What those after top_k leave, in their order."""
    return min_p(top_p(typical(candidates, filters.typical_p), filters.top_p), filters.min_p)


def choose(candidates: Candidates, temperature: float, u: float) -> int:
    """The token at the point u (0 to 1) of the distribution; temperature ≤ 0: the most likely."""
    ids, logits, is_sorted = candidates
    if temperature <= 0:
        return int(ids[logits.argmax()])
    if len(ids) == 1:
        return int(ids[0])
    scaled = logits if temperature == 1 else logits / np.float32(max(temperature, LEAST_TEMPERATURE))
    best = scaled[0] if is_sorted else scaled.max()
    return int(ids[pick(np.exp(scaled - best), u)])


def pick(weights: Floats, u: float) -> int:
    """The index at the point u (0 to 1) of a distribution given by weights. Many are summed in blocks first."""
    if len(weights) > MANY:
        return pick_by_blocks(weights, block_sums(weights), u)
    if len(weights) <= _FEW:  # lists are quicker
        sums = list(itertools.accumulate(weights.tolist()))
        return min(bisect.bisect_left(sums, sums[-1] * u), len(sums) - 1)
    running = weights.cumsum(dtype=np.float64)
    return min(int(running.searchsorted(running[-1] * u)), len(weights) - 1)


def pick_by_blocks(weights: Floats, sums: Floats, u: float) -> int:
    """The same, for the sums of the blocks of these weights."""
    running = sums.cumsum(dtype=np.float64)
    target = running[-1] * u
    block = min(int(running.searchsorted(target)), len(running) - 1)
    start = block * BLOCK
    within = weights[start : start + BLOCK].cumsum(dtype=np.float64)
    rest = target - (running[block - 1] if block else 0.0)
    return start + int(within.searchsorted(min(rest, within[-1])))


def block_sums(weights: Floats) -> Floats:
    """Sums of 512 weights each; the last of what is left over. A product with ones is the fastest way to sum."""
    n_whole = len(weights) // BLOCK * BLOCK
    whole = weights[:n_whole].reshape(-1, BLOCK) @ _ONES
    return np.append(whole, weights[n_whole:].sum()) if n_whole < len(weights) else whole


def take_mass(keys: Floats, weights: Floats, wanted: np.float32) -> Ids:
    """The indices, in their order, of the smallest keys that together weigh at least `wanted`; one at least.

    Guessed from a sample, and checked: sorting some hundreds or thousands of keys is enough.
    """
    goal = max(float(wanted), _LEAST_MASS)
    low, high, mass = _bracket(keys, weights, goal)
    ids = np.flatnonzero((keys > low) & (keys <= high))
    ids = ids[keys[ids].argsort(kind="stable")]  # equal ones by id
    running = mass + weights[ids].cumsum(dtype=np.float64)
    taken = keys <= low
    taken[ids[: int(running.searchsorted(goal)) + 1]] = True
    return np.flatnonzero(taken)


def _smallest(keys: Floats, n: int) -> Ids:
    """The indices of the n smallest keys, smallest first unless there are many; of equal ones the first."""
    if n >= len(keys):
        return np.arange(len(keys))
    last = np.partition(keys, n - 1)[n - 1]
    taken = keys < last
    taken[np.flatnonzero(keys == last)[: n - np.count_nonzero(taken)]] = True
    found = np.flatnonzero(taken)
    return found if n > MANY else found[keys[found].argsort(kind="stable")]


def _bracket(keys: Floats, weights: Floats, wanted: float) -> tuple[float, float, float]:
    """Two keys between which the smallest keys reach a mass, and what those up to the lower one weigh."""
    marks = np.empty_like(weights)

    def up_to(key: float) -> float:
        return float(np.less_equal(keys, np.float32(key), out=marks).dot(weights))

    below, above = 0.0, float(weights.sum())
    sampled, running = _sample(keys, weights, above)
    low, high = float(keys.min()) - 1.0, float(keys[weights > 0].max())
    for share in (1 - _MARGIN, 1 + _MARGIN):
        middle = float(sampled[min(int(running.searchsorted(wanted * share)), len(sampled) - 1)])
        if low < middle < high:
            mass = up_to(middle)
            low, high, below, above = (middle, high, mass, above) if mass < wanted else (low, middle, below, mass)
    for i in range(_BISECTIONS):
        if above - below < _NARROW * wanted:
            break
        beside = -_BESIDE if i % 2 else _BESIDE  # so that both ends come nearer
        part = (wanted - below) / (above - below) + beside if i % 5 < 4 else 0.5
        middle = low + (high - low) * min(max(part, _BESIDE), 1 - _BESIDE)
        mass = up_to(middle)
        low, high, below, above = (middle, high, mass, above) if mass < wanted else (low, middle, below, mass)
    return low, high, below


def _sample(keys: Floats, weights: Floats, total: float) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Some of the keys, sorted, and about what all up to each weigh: the heavy ones, and some of the others."""
    step = max(1, len(keys) // _SAMPLE)
    heavy = (weights > total / _SAMPLE).nonzero()[0]
    others = np.arange(0, len(keys), step)
    others = others[weights[others] <= total / _SAMPLE]
    sampled = np.concatenate([keys[heavy], keys[others]])
    order = sampled.argsort()
    masses = np.concatenate([weights[heavy], weights[others] * np.float32(step)])
    return sampled[order], masses[order].cumsum(dtype=np.float64)


def softmax(logits: Floats, best: np.float32) -> Floats:
    """Probabilities, with sums as llama.cpp takes them: one after the other in single precision."""
    weights: Floats = np.exp(logits - best)
    weights /= _sum(weights)
    return weights


def _sum(values: Floats) -> np.float32:
    total: np.float32 = values.cumsum()[-1] if len(values) <= MANY else values.sum()
    return total
