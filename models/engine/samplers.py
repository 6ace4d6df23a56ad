"""From what a request asks of sampling to its sampler: values are checked, texts become tokens."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from models.engine.ports import Tokens, TokenSampler, Vocabulary
from models.errors import RefusedByEngine
from models.runner.lanes import Lane, Steps
from models.runner.messages import Generate
from models.runner.settings import Constraint, Sampling
from models.sampling import backend, dry, pipeline
from models.sampling.after_thought import AfterThought, Constraining
from models.sampling.backend import BackendChain
from models.sampling.dry import Dry
from models.sampling.grammar import Grammars
from models.sampling.passes import passes_for
from models.sampling.pieces import Pieces
from models.sampling.sampler import Biases, Sampler
from models.sampling.thoughts import ThoughtLimit

_MOST = 2**31 - 1
_MAX_BREAKERS = 64
_MAX_BIASES = 100_000
_QUICK_BIASES = 1000
_MAX_BIASED_CHARS = 16 * 1024
_MAX_SAMPLERS = 32
_KEPT_BREAKERS = 64
_MOST_DECAY = 0.9900000095367432
"""0.99 in single precision."""

_DEFAULTS = Sampling()
_FINITE = (
    *("mirostat_tau", "mirostat_eta", "dry_multiplier", "dry_base", "xtc_probability", "xtc_threshold"),
    *("top_n_sigma", "dynatemp_range", "dynatemp_exponent", "adaptive_target", "adaptive_decay"),
)


class Samplers:
    """Makes samplers for one vocabulary, in any thread."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        n_ctx: int,
        *,
        uses_backend: bool = False,
    ) -> None:
        self._vocabulary = vocabulary
        self._n_ctx = n_ctx
        self._uses_backend = uses_backend
        self._grammars = Grammars(vocabulary)
        self._pieces = Pieces(vocabulary)
        self._passes = passes_for(vocabulary.n_tokens)
        self._breakers: dict[str, dict[int, list[tuple[int, ...]]]] = {}

    def make(self, request: Generate, prompt: Tokens) -> Steps[TokenSampler]:
        """The sampler of a request with this prompt. Raises: BadRequest."""
        options = checked(request.sampling)
        if len(options.logit_bias) > _QUICK_BIASES or not self._knows_breakers(options):
            yield Lane.READING
        biases = self._biases(options, may_end=not options.ignore_eos or request.constraint is not None)
        follower = self._dry(options, prompt)
        limit = None
        if request.thought_budget is not None:
            limit = ThoughtLimit(request.thought_budget, self._vocabulary.raw_piece, self._tag_tokens)
        matcher = (yield from self._follower(request.constraint)) if request.constraint is not None else None
        return Sampler(
            options,
            self._passes,
            prompt=prompt,
            suppressed=self._vocabulary.suppressed,
            matcher=matcher,
            biases=biases,
            dry=follower,
            limit=limit,
        )

    def chain(self, request: Generate) -> BackendChain | None:
        """How the backend picks the tokens in the sampler's place; None: it cannot. Raises: BadRequest."""
        options = checked(request.sampling)
        if not self._uses_backend or request.n_logprobs is not None or not self._is_plain(request, options):
            return None
        return backend.chain_for(options, self._vocabulary.n_tokens)

    def _is_plain(self, request: Generate, options: Sampling) -> bool:
        """Whether nothing but the usual filters has a say."""
        if request.constraint is not None or request.thought_budget is not None:
            return False
        return len(self._vocabulary.suppressed) == 0 and _is_usual(options)

    def _knows_breakers(self, options: Sampling) -> bool:
        return not dry.is_active(options) or self._breakers.keys() >= set(options.dry_sequence_breakers)

    def _follower(self, constraint: Constraint) -> Steps[Constraining]:
        matcher = yield from self._grammars.matcher(constraint)
        if constraint.thought is None:
            return matcher
        opening = constraint.thought.start.encode()
        if not self._pieces.knows(opening, after_blanks=True):
            yield Lane.COMPILING
            self._pieces.that_open(opening, after_blanks=True)
        ends = self._vocabulary.end_tokens
        return AfterThought(matcher, constraint.thought, self._vocabulary.n_tokens, self._pieces, ends)

    def _tag_tokens(self, text: str) -> list[int]:
        return self._tokens(text, parse_special=True)

    def _tokens(self, text: str, *, parse_special: bool = False) -> list[int]:
        tokens = self._vocabulary.tokenize(text, add_special=False, parse_special=parse_special)
        return [int(token) for token in tokens]

    def _biases(self, options: Sampling, *, may_end: bool) -> Biases | None:
        """Compat: llama.cpp's server: numbers that no token has are passed over, texts stand for all their tokens.

        Unlike there, a constraint decides alone when a reply ends: what it leaves no other choice than to end would
        have no token at all.
        """
        found: dict[int, float] = defaultdict(float)
        if not may_end:
            found.update(dict.fromkeys(self._vocabulary.end_tokens, -math.inf))
        for token, bias in options.logit_bias:
            for one in (token,) if isinstance(token, int) else self._tokens(token):
                if 0 <= one < self._vocabulary.n_tokens:
                    found[one] += bias
        return Biases.of(found) if found else None

    def _dry(self, options: Sampling, prompt: Tokens) -> Dry | None:
        if not dry.is_active(options):
            return None
        breakers: dict[int, list[tuple[int, ...]]] = {}
        for text in options.dry_sequence_breakers:
            for token, tails in self._breakers_of(text).items():
                breakers[token] = [*breakers.get(token, ()), *tails]
        follower = Dry(options, breakers, self._n_ctx)
        follower.accept_all(prompt)
        return follower

    def _breakers_of(self, text: str) -> dict[int, list[tuple[int, ...]]]:
        found = self._breakers.get(text)
        if found is None:
            found = dry.find_breakers(text, self._pieces.all, self._tokens) if text else {}
            if len(self._breakers) >= _KEPT_BREAKERS:
                self._breakers.pop(next(iter(self._breakers)))
            self._breakers[text] = found
        return found


def _is_usual(options: Sampling) -> bool:
    """Whether nothing is asked for that only our own sampler does."""
    return not (
        options.mirostat
        or options.logit_bias
        or options.ignore_eos
        or dry.is_active(options)
        or pipeline.is_needed(options)
    )


def checked(options: Sampling) -> Sampling:
    """The options within their bounds. Raises: BadRequest for what cannot be brought there.

    Compat: llama.cpp's server, its hard limits and texts; other values it clamps.
    """
    if options.repeat_last_n < 0:
        raise refused(f"Field 'repeat_last_n': {out_of_range(0, options.repeat_last_n)}")
    if not (math.isfinite(options.repeat_penalty) and options.repeat_penalty > 0):
        raise refused("Failed to initialize samplers: penalty_repeat must be finite and greater than 0")
    if not math.isfinite(options.frequency_penalty):
        raise refused("Failed to initialize samplers: penalty_freq must be finite")
    if not math.isfinite(options.presence_penalty):
        raise refused("Failed to initialize samplers: penalty_present must be finite")
    return _checked_further(options)


def _checked_further(options: Sampling) -> Sampling:
    for name in _FINITE:
        if not math.isfinite(getattr(options, name)):
            raise refused(f"Field '{name}': Value must be finite")
    if not 0 <= options.dry_allowed_length <= _MOST:
        raise refused(f"Field 'dry_allowed_length': {out_of_range(0, options.dry_allowed_length)}")
    if not -1 <= options.dry_penalty_last_n <= _MOST:
        raise refused(f"Field 'dry_penalty_last_n': {out_of_range(-1, options.dry_penalty_last_n)}")
    if not 0 <= options.min_keep <= _MOST:
        raise refused(f"Field 'min_keep': {out_of_range(0, options.min_keep)}")
    if not 0 <= options.adaptive_decay <= _MOST_DECAY:
        limits = f"0.000000 <= value <= 0.990000, but got {options.adaptive_decay:f}"
        raise refused(f"Field 'adaptive_decay': Value must be between {limits}")
    _check_size("dry_sequence_breakers", options.dry_sequence_breakers, _MAX_BREAKERS)
    _check_size("samplers", options.samplers or (), _MAX_SAMPLERS)
    _check_size("logit_bias", options.logit_bias, _MAX_BIASES)
    if dry.is_active(options) and not options.dry_sequence_breakers:
        raise refused("Error: dry_sequence_breakers must be a non-empty array of strings")
    if sum(len(token) for token, _ in options.logit_bias if isinstance(token, str)) > _MAX_BIASED_CHARS:
        raise refused(f"Field 'logit_bias': its texts have more than {_MAX_BIASED_CHARS} characters")
    if any(math.isnan(bias) or bias == math.inf for _, bias in options.logit_bias):
        raise refused("Field 'logit_bias': Value must be finite, or false")
    if not options.mirostat and options.dry_base >= 1:
        return options
    dry_base = options.dry_base if options.dry_base >= 1 else _DEFAULTS.dry_base
    return msgspec.structs.replace(options, mirostat=min(max(options.mirostat, 0), 2), dry_base=dry_base)


def _check_size(name: str, items: Iterable[object], most: int) -> None:
    if len(tuple(items)) > most:
        raise refused(f"Field '{name}': at most {most} entries")


def out_of_range(least: int, value: int) -> str:
    return f"Value must be between {least} <= value <= {_MOST}, but got {value}"


def refused(message: str) -> RefusedByEngine:
    """A refusal in llama.cpp's own words."""
    return RefusedByEngine.saying(message)
