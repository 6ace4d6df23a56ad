"""A request to generate becomes a task: text becomes tokens, sizes are checked, the sampler is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from models.engine.context_end import ContextRules, fit_prompt
from models.engine.media import Media, PlacedMedia, lay_out
from models.engine.ports import Tokens, TokenSampler, Vocabulary
from models.engine.sequence import Task
from models.errors import BadRequest, Unsupported
from models.runner.messages import Constraint, Generate, Sampling
from models.sampling.after_thought import AfterThought, Constraining
from models.sampling.broad import Scratch
from models.sampling.grammar import Grammars
from models.sampling.sampler import Sampler

ReadMedia = Callable[[Sequence[str | bytes]], Sequence[Tokens | Media]]

NO_PROJECTOR = "this model does not support image input"

_QUICK_CHARS = 16 * 1024
_MOST = 2**31 - 1


class Preparer:
    """Makes tasks. May run in a thread of its own: it touches the vocabulary only, never a context."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        rules: ContextRules,
        *,
        special_sampler: Callable[[Sampling], TokenSampler | None] = lambda options: None,
        read_media: ReadMedia | None = None,
    ) -> None:
        """`special_sampler` may have a faster one for options that come without constraint and suppressed tokens.

        `read_media` makes tokens and media of texts and files; None: the model has no projector.
        """
        self._read_media = read_media
        self._special_sampler = special_sampler
        self._vocabulary = vocabulary
        self._rules = rules
        self._grammars = Grammars(vocabulary)
        self._scratch = Scratch(vocabulary.n_tokens)

    def is_quick(self, request: Generate) -> bool:
        """Whether preparing takes about a millisecond, so that nobody who generates would notice."""
        if request.parts or len(request.prompt) > _QUICK_CHARS:
            return False
        return request.constraint is None or self._grammars.is_warm

    def prepare(self, request: Generate) -> Task:
        """Raises: BadRequest."""
        check_sampling(request.sampling, request.n_keep)
        matcher = self._follower(request.constraint) if request.constraint is not None else None
        tokens, media = self._read(request)
        n_bytes = len(request.prompt.encode())
        truncate = request.truncate and not media  # Compat: prompting 8.2
        prompt = fit_prompt(tokens, n_bytes, n_keep=request.n_keep, truncate=truncate, rules=self._rules)
        return Task(
            request_id=request.request_id,
            prompt=prompt,
            n_truncated=len(tokens) - len(prompt),
            sampler=self._sampler(request.sampling, prompt[prompt >= 0] if media else prompt, matcher),
            stops=request.stop,
            n_predict=request.n_predict,
            n_keep=request.n_keep,
            n_logprobs=request.n_logprobs,
            shown=self._control_tokens(request.shown),
            media=media,
        )

    def _read(self, request: Generate) -> tuple[Tokens, tuple[PlacedMedia, ...]]:
        """The prompt as tokens, with marks where images are. Raises: BadRequest."""
        if not request.parts:
            return self._vocabulary.tokenize(request.prompt, add_special=True), ()
        if self._read_media is None:
            raise Unsupported(NO_PROJECTOR)
        tokens, media = lay_out(self._read_media(request.parts))
        if media and media[-1].end == len(tokens):
            raise BadRequest("a prompt cannot end with an image or a sound")
        return tokens, media

    def _sampler(self, options: Sampling, prompt: Tokens, matcher: Constraining | None) -> TokenSampler:
        suppressed = self._vocabulary.suppressed
        if matcher is None and len(suppressed) == 0 and (special := self._special_sampler(options)) is not None:
            return special
        return Sampler(options, self._scratch, prompt=prompt, suppressed=suppressed, matcher=matcher)

    def _follower(self, constraint: Constraint) -> Constraining:
        matcher = self._grammars.matcher(constraint)
        if constraint.thought is None:
            return matcher
        return AfterThought(matcher, constraint.thought, self._vocabulary.n_tokens, self._vocabulary.raw_piece)

    def _control_tokens(self, texts: tuple[str, ...]) -> frozenset[int]:
        """Those texts that are one control token each."""
        found = (self._vocabulary.tokenize(text, add_special=False) for text in texts)
        return frozenset(int(tokens[0]) for tokens in found if len(tokens) == 1)


def check_sampling(sampling: Sampling, n_keep: int) -> None:
    """Raises: BadRequest. Compat: llama.cpp's server, its hard limits and texts; other values it clamps."""
    if n_keep < -1:
        raise _refused(f"Field 'n_keep': {_out_of_range(-1, n_keep)}")
    if sampling.repeat_last_n < 0:
        raise _refused(f"Field 'repeat_last_n': {_out_of_range(0, sampling.repeat_last_n)}")
    if not (math.isfinite(sampling.repeat_penalty) and sampling.repeat_penalty > 0):
        raise _refused("Failed to initialize samplers: penalty_repeat must be finite and greater than 0")
    if not math.isfinite(sampling.frequency_penalty):
        raise _refused("Failed to initialize samplers: penalty_freq must be finite")
    if not math.isfinite(sampling.presence_penalty):
        raise _refused("Failed to initialize samplers: penalty_present must be finite")


def _out_of_range(least: int, value: int) -> str:
    return f"Value must be between {least} <= value <= {_MOST}, but got {value}"


def _refused(message: str) -> BadRequest:
    """Compat: http-api 4.5, the engine's JSON body stands as the error text."""
    return BadRequest(f'{{"error":{{"code":400,"message":"{message}","type":"invalid_request_error"}}}}')
