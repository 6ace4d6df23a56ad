"""One sequence's sampler: from logits to a token, with the same choices as llama.cpp's chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from models.runner.messages import Sampling
from models.sampling import chain
from models.sampling.after_thought import Constraining
from models.sampling.broad import Broad, Scratch
from models.sampling.chain import Candidates, Floats
from models.sampling.penalties import Penalties
from models.sampling.rng import draw, random_source
from models.sampling.shortlist import Shortlist, greedy


class Sampler:
    """Picks tokens; not thread-safe, since samplers share `scratch`.

    Order: suppressed tokens, constraint, penalties, top_k, typical_p, top_p, min_p, temperature, then one random
    number for the choice. Source: llama.cpp, common_sampler_init and common_sampler_sample.
    """

    def __init__(
        self,
        options: Sampling,
        scratch: Scratch,
        *,
        prompt: Sequence[int] | npt.NDArray[np.int32] = (),
        suppressed: npt.NDArray[np.int32] | None = None,
        matcher: Constraining | None = None,
    ) -> None:
        self._options = options
        self._shortlist = Shortlist(scratch)
        self._random = random_source(options.seed)
        self._broad = Broad(scratch, self._random)
        self._penalties = _penalties(options, prompt)
        self._suppressed = suppressed if suppressed is not None and len(suppressed) else None
        self._matcher = matcher

    @property
    def matcher(self) -> Constraining | None:
        return self._matcher

    def sample(self, logits: Floats) -> int:
        """The next token, accepted. Changes `logits`. Raises: UnusableOutput, ConstraintFailed."""
        if self._suppressed is not None:
            logits[self._suppressed] = -np.inf
        token = self._pick(logits) if self._matcher is None else self._pick_matching(logits, self._matcher)
        if self._penalties is not None:
            self._penalties.accept(token)
        return token

    def _pick(self, logits: Floats) -> int:
        if self._penalties is not None:
            self._penalties.apply(logits)
        return self._choose(logits)

    def _pick_matching(self, logits: Floats, matcher: Constraining) -> int:
        """First as if there were no constraint; what it forbids is picked again from what it allows.

        With most tokens already fitting, the mask is seldom applied to the whole vocabulary.
        """
        if self._penalties is not None:
            self._penalties.apply(logits)
        token = self._choose(logits)
        if not matcher.allows(token):
            matcher.mask(logits)
            token = self._choose(logits)
        matcher.accept(token)
        return token

    def _choose(self, logits: Floats) -> int:
        options = self._options
        if options.temperature <= 0 and options.typical_p >= 1:
            return greedy(logits)
        candidates: Candidates
        if options.top_k > 0:
            candidates = self._shortlist.top_k(logits, options.top_k)
            candidates = chain.top_p(chain.typical(candidates, options.typical_p), options.top_p)
            candidates = chain.min_p(candidates, options.min_p)
        elif options.typical_p < 1:
            if options.top_p >= 1 and len(logits) > chain.MANY:
                token = self._broad.typical(logits, options.typical_p, options.min_p, options.temperature)
                if token is not None:
                    return token
            candidates = chain.top_p(self._shortlist.typical(logits, options.typical_p), options.top_p)
            candidates = chain.min_p(candidates, options.min_p)
        elif options.top_p < 1:
            if self._shortlist.expects_many():
                token = self._broad.top_p(logits, options.top_p, options.min_p, options.temperature)
                if token is not None:
                    return token
            candidates = chain.min_p(self._shortlist.top_p(logits, options.top_p), options.min_p)
        elif options.min_p > 0:
            candidates = self._shortlist.min_p(logits, options.min_p)
        else:
            return self._broad.any(logits, options.temperature)
        return chain.choose(candidates, options.temperature, draw(self._random))


def _penalties(options: Sampling, prompt: Iterable[int] | npt.NDArray[np.int32]) -> Penalties | None:
    """None where they change nothing."""
    if options.repeat_last_n <= 0:
        return None
    if options.repeat_penalty == 1 and options.presence_penalty == 0 and options.frequency_penalty == 0:
        return None
    penalties = Penalties(
        options.repeat_last_n, options.repeat_penalty, options.frequency_penalty, options.presence_penalty
    )
    recent = prompt[-options.repeat_last_n :]  # type: ignore[index]
    penalties.accept_all(int(token) for token in recent)
    return penalties
