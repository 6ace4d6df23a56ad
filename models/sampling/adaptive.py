"""Adaptive-p: choosing tokens whose probability is near a target, which moves so that the chosen ones come near it on
average. Source: llama.cpp's sampler "adaptive-p".

It chooses in the place of the usual draw, after all filters.
"""

from __future__ import annotations

import random

import numpy as np

from models.runner.settings import Sampling
from models.sampling import chain
from models.sampling.chain import Candidates, Flags, Floats
from models.sampling.rng import draw_among

_WIDTH = np.float32(0.3)
_PEAK, _SHARPNESS = np.float32(5), np.float32(10)


class Adaptive:
    """Chooses the tokens of one sequence, and follows how likely they were."""

    def __init__(self, options: Sampling, source: random.Random) -> None:
        """A negative target: a plain draw."""
        self._target = np.float32(options.adaptive_target)
        self._decay = np.float32(min(max(options.adaptive_decay, 0.0), 0.99))
        self._random = source
        self._weight = np.float32(1) / (np.float32(1) - self._decay)
        self._sum = self._target / (np.float32(1) - self._decay)
        self._chosen: tuple[int, np.float32] | None = None
        """The last token, and how likely it was."""

    def choose(self, found: Candidates) -> int:
        """One of the candidates."""
        probs = chain.softmax(found.logits, found.logits.max())
        weights = probs if self._target < 0 else self._preferred(probs, found.logits > -np.inf)
        place = chain.pick(weights, draw_among(len(weights), self._random))
        token = int(found.ids[place])
        self._chosen = token, probs[place]
        return token

    def accept(self, token: int) -> None:
        """A token that was not the last choice does not count."""
        if self._chosen is not None and self._chosen[0] == token:
            self._sum = self._chosen[1] + self._decay * self._sum
            self._weight = np.float32(1) + self._decay * self._weight
        self._chosen = None

    def _preferred(self, probs: Floats, is_possible: Flags) -> Floats:
        """Weights that fall off from the target on both sides; nothing impossible becomes possible."""
        target = min(self._target, np.float32(1))
        aim = np.clip(np.float32(2) * target - self._sum / self._weight, np.float32(0), np.float32(1))
        distances = np.abs((probs - aim) / _WIDTH)
        logits = _PEAK - _SHARPNESS * distances * distances / (np.float32(1) + distances)
        logits[~is_possible] = -np.inf
        return chain.softmax(logits, logits.max())
