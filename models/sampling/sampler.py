"""One sequence's sampler: from logits to a token, with the same choices as llama.cpp's chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.errors import InvalidConstraint
from models.runner.settings import Sampling
from models.sampling import chain, pipeline
from models.sampling.after_thought import Constraining
from models.sampling.chain import Filters, Floats, Ids
from models.sampling.dry import Dry
from models.sampling.mirostat import Mirostat
from models.sampling.penalties import Penalties, is_active
from models.sampling.pipeline import Pipeline
from models.sampling.ports import Passes
from models.sampling.rng import draw, random_source
from models.sampling.shortlist import choose_listed, greedy
from models.sampling.thoughts import ThoughtLimit


class Biases(NamedTuple):
    """What is added to the logits of some tokens; each token is there once."""

    tokens: npt.NDArray[np.intp]
    values: Floats

    @classmethod
    def of(cls, by_token: Mapping[int, float]) -> Biases:
        return cls(np.array(list(by_token), dtype=np.intp), np.array(list(by_token.values()), dtype=np.float32))


class Sampler:
    """Picks tokens; not thread-safe, since samplers share `passes`.

    Order: suppressed tokens, biases, constraint, penalties, DRY, top_k, typical_p, top_p, min_p, temperature, then one
    random number for the choice; models.sampling.pipeline has other orders and further filters.
    Source: llama.cpp, common_sampler_init and common_sampler_sample.
    """

    def __init__(
        self,
        options: Sampling,
        passes: Passes,
        *,
        prompt: Sequence[int] | npt.NDArray[np.int32] = (),
        suppressed: npt.NDArray[np.int32] | None = None,
        matcher: Constraining | None = None,
        biases: Biases | None = None,
        dry: Dry | None = None,
        limit: ThoughtLimit | None = None,
    ) -> None:
        """`biases`: those of the options, by token; `dry`: ready to follow what comes after the prompt."""
        self._options = options
        self._random = random_source(options.seed)
        self._passes = passes
        self._filters = Filters(
            options.temperature, options.typical_p, options.top_p, options.min_p, max(options.top_k, 0)
        )
        is_plain = options.mirostat not in (1, 2)
        self._penalties = _penalties(options, prompt) if is_plain else None
        self._dry = dry if is_plain else None
        self._biases = biases
        self._limit = limit
        self._suppressed = suppressed if suppressed is not None and len(suppressed) else None
        self._matcher = matcher
        self._pipeline: Pipeline | None = None
        if is_plain and pipeline.is_needed(options):
            self._pipeline = Pipeline(options, passes, self._random, penalties=self._penalties, dry=self._dry)
        self._is_usual = is_plain and self._pipeline is None
        self._choose = self._choosing(passes)

    @property
    def matcher(self) -> Constraining | None:
        return self._matcher

    def sample(self, logits: Floats) -> int:
        """The next token, accepted. Changes `logits`. Raises: UnusableOutput, InvalidConstraint."""
        if self._limit is not None and (ending := self._limit.forced()):
            self.force(ending[0])
            return ending[0]
        token = self.pick(logits)
        self.force(token)
        return token

    def pick(self, logits: Floats) -> int:
        """A token that may come next, not accepted. Changes `logits`. Raises: UnusableOutput, InvalidConstraint."""
        if self._suppressed is not None:
            logits[self._suppressed] = -np.inf
        if self._biases is not None:
            logits[self._biases.tokens] += self._biases.values
        if self._pipeline is None:
            self._penalize(logits)
        return self._choose(logits) if self._matcher is None else self._choose_matching(logits, self._matcher)

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, if there is no choice: `force` them, and do not `sample`."""
        if self._limit is not None and (ending := self._limit.forced()):
            return ending
        return () if self._matcher is None else self._matcher.forced()

    def force(self, token: int) -> None:
        """Accept a token, whoever chose it."""
        if self._matcher is not None:
            self._matcher.accept(token)
        if self._penalties is not None:
            self._penalties.accept(token)
        if self._dry is not None:
            self._dry.accept(token)
        if self._pipeline is not None:
            self._pipeline.accept(token)
        if self._limit is not None:
            self._limit.accept(token)

    def _choose_matching(self, logits: Floats, matcher: Constraining) -> int:
        """First as if there were no constraint; what it forbids is picked again from what it allows.

        With most tokens already fitting, all that it allows is seldom asked for.
        """
        untouched = logits if self._pipeline is None else logits.copy()
        token = self._choose(logits)
        if not matcher.allows(token):
            token = self._choose_allowed(untouched, matcher.allowed())
        return token

    def _choose_allowed(self, logits: Floats, allowed: Ids) -> int:
        """Mostly a few hundred tokens: that the others are impossible need not be written down for the filters."""
        if len(allowed) == 0:
            raise InvalidConstraint("no token of this model's vocabulary can continue the constrained output")
        if self._is_usual and len(allowed) <= chain.MANY:
            return self._passes.choose_among(logits, allowed, self._filters, self._random)
        kept = logits[allowed]
        logits.fill(-np.inf)
        logits[allowed] = kept
        return self._choose(logits)

    def _choosing(self, passes: Passes) -> Callable[[Floats], int]:
        """The way to choose that these options need."""
        options = self._options
        if options.mirostat in (1, 2) and options.temperature > 0:
            return Mirostat(options, passes, self._random).choose
        if options.mirostat in (1, 2):
            return greedy
        if self._pipeline is not None:
            return self._pipeline.choose
        return self._choose_as_usual

    def _penalize(self, logits: Floats) -> None:
        if self._penalties is not None:
            self._penalties.apply(logits)
        if self._dry is not None:
            self._dry.apply(logits)

    def _choose_as_usual(self, logits: Floats) -> int:
        options = self._options
        temperature = options.temperature
        if temperature <= 0 and options.typical_p >= 1:
            return greedy(logits)
        if options.top_k <= 0 and (temperature <= 0 or len(logits) <= chain.MANY):
            return choose_listed(self._passes, logits, self._filters, draw(self._random))
        return self._passes.choose(logits, self._filters, self._random)


def _penalties(options: Sampling, prompt: Iterable[int] | npt.NDArray[np.int32]) -> Penalties | None:
    """None where they change nothing."""
    if not is_active(options):
        return None
    penalties = Penalties(
        options.repeat_last_n, options.repeat_penalty, options.frequency_penalty, options.presence_penalty
    )
    recent = prompt[-options.repeat_last_n :]  # type: ignore[index]
    penalties.accept_all(int(token) for token in recent)
    return penalties
