"""Filters in any order, among them those that are seldom asked for. Source: llama.cpp, common_sampler_init.

Before the first filter that removes tokens there are no candidates yet, but all of the vocabulary: what works on logits
changes them in place, and what removes few tokens sets theirs to minus infinity.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np

from models.option_types import ADAPTIVE_P, SAMPLERS
from models.runner.settings import Sampling
from models.sampling import chain
from models.sampling.adaptive import Adaptive
from models.sampling.chain import Candidates, Filters, Floats
from models.sampling.dry import Dry
from models.sampling.penalties import Penalties
from models.sampling.ports import Passes
from models.sampling.rng import draw, draw_single, random_source
from models.sampling.shortlist import Shortlist
from models.sampling.usable import best_of


def is_needed(options: Sampling) -> bool:
    """Whether these options ask for more than the usual filters in their usual order."""
    return (
        options.samplers is not None
        or options.min_keep > 1
        or options.top_n_sigma > 0
        or options.dynatemp_range > 0
        or (options.xtc_probability > 0 and options.xtc_threshold <= 0.5)
    )


class Pipeline:
    """Chooses the tokens of one sequence."""

    def __init__(
        self,
        options: Sampling,
        passes: Passes,
        source: random.Random,
        *,
        penalties: Penalties | None = None,
        dry: Dry | None = None,
    ) -> None:
        self._options = options
        self._passes = passes
        self._shortlist = Shortlist(passes)
        self._random = source
        self._xtc_random = random_source(options.seed)
        self._penalties, self._dry = penalties, dry
        steps: dict[str, Callable[[Floats, Candidates | None], Candidates | None]] = {
            "penalties": self._penalize,
            "dry": self._dry_out,
            "top_n_sigma": self._top_n_sigma,
            "top_k": self._top_k,
            "typ_p": self._typical,
            "top_p": self._top_p,
            "min_p": self._min_p,
            "xtc": self._xtc,
            "temperature": self._temper,
        }
        order: Sequence[str] = SAMPLERS if options.samplers is None else options.samplers
        self._steps = [steps[name] for name in order if name != ADAPTIVE_P]
        self._adaptive = Adaptive(options, source) if ADAPTIVE_P in order else None
        self._n_native = 0
        """How many candidates llama.cpp would count, impossible ones included."""

    def choose(self, logits: Floats) -> int:
        """The next token. Changes `logits`. Raises: UnusableOutput."""
        best_of(logits)
        self._n_native = len(logits)
        found: Candidates | None = None
        for step in self._steps:
            found = step(logits, found)
        if self._adaptive is not None:
            return self._adaptive.choose(_possible(logits) if found is None else found)
        if found is None:
            return self._passes.choose(logits, Filters(1.0), self._random)
        return chain.choose(found, 1.0, draw(self._random))

    def accept(self, token: int) -> None:
        """What comes next in the sequence, chosen here or not; penalties and DRY follow it elsewhere."""
        if self._adaptive is not None:
            self._adaptive.accept(token)

    # ---- what changes logits ---------------------------------------------------------------------------------------

    def _penalize(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        if self._penalties is None:
            return found
        if found is not None:
            return self._penalties.apply_to(found)
        self._penalties.apply(logits)
        return None

    def _dry_out(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        if self._dry is None:
            return found
        if found is not None:
            return self._dry.apply_to(found)
        self._dry.apply(logits)
        return None

    def _temper(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        temperature = self._options.temperature
        if self._options.dynatemp_range > 0:
            if found is not None and len(found.ids) <= chain.MANY:
                found = chain.sort(found)
            temperature = self._dynamic_temperature(logits, found)
        values = logits if found is None else found.logits
        if temperature <= 0:
            best = int(values.argmax())
            return Candidates(np.array([best if found is None else found.ids[best]]), values[best : best + 1], True)
        divisor = np.float32(max(temperature, chain.LEAST_TEMPERATURE))
        if found is None:
            np.divide(logits, divisor, out=logits)
            return None
        return Candidates(found.ids, found.logits / divisor, found.is_sorted)

    def _dynamic_temperature(self, logits: Floats, found: Candidates | None) -> float:
        """Between the lowest and the highest, by how uncertain the distribution is."""
        options = self._options
        if self._n_native <= 1:
            return 1.0  # llama.cpp leaves a single candidate as it is
        low = max(0.0, options.temperature - options.dynatemp_range)
        high = options.temperature + options.dynatemp_range
        entropy = self._entropy(logits, found) / math.log(self._n_native)
        return low + (high - low) * _power(min(max(entropy, 0.0), 1.0), options.dynatemp_exponent)

    def _entropy(self, logits: Floats, found: Candidates | None) -> float:
        if found is None:
            self._passes.read(logits)
            return math.log(self._passes.weigh(with_mean=True)) - self._passes.mean
        probs = chain.softmax(found.logits, found.logits.max())
        probs = probs[probs > 0]
        return float(-(probs * np.log(probs)).sum())

    # ---- what removes tokens ---------------------------------------------------------------------------------------

    def _top_k(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        k = self._options.top_k
        if k <= 0:
            return found
        self._n_native = min(self._n_native, k)
        return self._shortlist.top_k(logits, k) if found is None else chain.top_k(found, k)

    def _typical(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        p, n_least = self._options.typical_p, self._options.min_keep
        if p >= 1:
            return found
        return self._counted(chain.typical(_possible(logits) if found is None else found, p, n_least))

    def _top_p(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        p, n_least = self._options.top_p, self._options.min_keep
        if p >= 1:
            return found
        if found is None:
            nucleus = self._shortlist.top_p(logits, p)
            return self._counted(self._at_least(n_least, nucleus, logits))
        return self._counted(chain.top_p(found, p, n_least))

    def _min_p(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        p, n_least = self._options.min_p, self._options.min_keep
        if p <= 0:
            return found
        if found is None:
            return self._counted(self._at_least(n_least, self._shortlist.min_p(logits, p), logits))
        return self._counted(chain.min_p(found, p, n_least))

    def _at_least(self, n: int, found: Candidates, logits: Floats) -> Candidates:
        """The n most likely tokens of all, where a filter that keeps the most likely ones left fewer."""
        return found if len(found.ids) >= n else self._shortlist.top_k(logits, n)

    def _top_n_sigma(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        """Those within n standard deviations of the best logit."""
        n = self._options.top_n_sigma
        values = logits if found is None else found.logits
        if n <= 0 or len(values) <= 1:
            return found
        least = values.max() - np.float32(n) * _deviation(values)
        if found is None:
            return self._shortlist.above(logits, least) if least > logits.min() else None
        kept = values >= least
        return Candidates(found.ids[kept], found.logits[kept], found.is_sorted)

    def _xtc(self, logits: Floats, found: Candidates | None) -> Candidates | None:
        """Sometimes those likely enough go, all but the least likely of them."""
        options = self._options
        n = self._n_native
        if options.xtc_probability <= 0 or options.xtc_threshold > 0.5 or n < 2:
            return found
        if draw_single(self._xtc_random) > options.xtc_probability:
            return found
        if found is None:
            self._rule_out_best(logits)
            return None
        found = chain.sort(found)
        n_above = _count_above(chain.softmax(found.logits, found.logits[0]), options.xtc_threshold)
        dropped = self._droppable(n_above)
        self._n_native -= dropped
        return Candidates(found.ids[dropped:], found.logits[dropped:], True)

    def _rule_out_best(self, logits: Floats) -> None:
        self._passes.read(logits)
        least = self._options.xtc_threshold * self._passes.weigh()
        above = np.flatnonzero(self._passes.weights >= np.float32(least))
        above = above[np.argsort(-logits[above], kind="stable")]
        dropped = self._droppable(len(above))
        logits[above[:dropped]] = -np.inf
        self._n_native -= dropped

    def _droppable(self, n_above: int) -> int:
        """How many go of those likely enough: all but one, or none where too few tokens would be left."""
        dropped = max(n_above - 1, 0)
        return dropped if self._n_native - dropped >= self._options.min_keep else 0

    def _counted(self, found: Candidates) -> Candidates:
        self._n_native = len(found.ids)
        return found


def _possible(logits: Floats) -> Candidates:
    ids = np.flatnonzero(logits > -np.inf)
    return Candidates(ids, logits[ids], False)


def _deviation(values: Floats) -> np.float32:
    """The standard deviation of logits, impossible ones left out."""
    n, total, square = len(values), float(values.sum()), float(values.dot(values))
    if not math.isfinite(square):
        return np.float32(values[values > -np.inf].std())
    return np.float32(math.sqrt(max(square / n - (total / n) ** 2, 0.0)))


def _count_above(probs: Floats, threshold: float) -> int:
    """How many, of probabilities sorted downwards."""
    return int((-probs).searchsorted(-np.float32(threshold), side="right"))


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except (ZeroDivisionError, OverflowError):
        return math.inf
