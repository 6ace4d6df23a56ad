"""One generation: what was asked, what has come, why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from models.engine.detokenizer import Detokenizer
from models.engine.media import PlacedMedia
from models.engine.ports import Floats, Tokens, TokenSampler, Vocabulary
from models.engine.scoring import PromptScoring
from models.errors import UnusableOutput
from models.runner.messages import Chunk, Finished, Reason, TokenLogprob, TokenProb
from models.runner.settings import AdapterSet
from models.sampling.backend import BackendChain
from models.sampling.logprobs import LogProbs
from models.sampling.usable import UNUSABLE


@dataclass(frozen=True, slots=True)
class Task:
    """A request to generate, prepared: tokens in place of text, limits resolved."""

    request_id: int
    prompt: Tokens
    n_truncated: int
    sampler: TokenSampler
    stops: tuple[str, ...]
    n_predict: int | None
    n_keep: int
    n_logprobs: int | None
    shown: frozenset[int] = frozenset()
    """Control tokens that appear in the text all the same."""
    media: tuple[PlacedMedia, ...] = ()
    """Images and sounds; `prompt` has their marks."""

    adapters: AdapterSet = ()
    chain: BackendChain | None = None
    """How the backend picks the tokens, so that `sampler` need not; None: it cannot."""
    scores_prompt: bool = False
    """Whether the log-probabilities of the prompt's tokens are told before the reply, and then of each of the reply's,
    also of one that has no text."""
    may_force: bool = False
    """Whether tokens that the sampler forces are taken without computing what the model thinks of them."""

    @property
    def n_prompt(self) -> int:
        """What the prompt costs, in tokens."""
        return len(self.prompt) + sum(one.media.n_tokens - one.media.n_positions for one in self.media)


class Step(NamedTuple):
    """What a sequence takes from one computation: tokens, the text that they release, why it ends, if it does."""

    tokens: list[int]
    chunk: Chunk | None
    reason: Reason | None


class Sequence:
    """Takes one token after the other from its sampler and tells what the client may see of it."""

    def __init__(self, task: Task, vocabulary: Vocabulary, *, now_ns: int) -> None:
        self.task = task
        self.n_generated = 0
        self.n_cached = 0
        self.n_shifted = 0
        self.is_cancelled = False
        self._vocabulary = vocabulary
        self._detokenizer = Detokenizer(task.stops)
        self._n_untold = 0
        self.joined_step: int | None = None
        """The engine's step before which there was a slot for it."""
        self.first_step: int | None = None
        """The one that gave it its first token."""
        self.is_scoring = task.scores_prompt
        """Whether logits of the prompt are wanted that have not been computed."""
        self._scoring: PromptScoring | None = None
        self._start_ns = now_ns
        self._first_ns: int | None = None
        self._last_ns = now_ns

    @property
    def request_id(self) -> int:
        return self.task.request_id

    def begin(self, n_cached: int, now_ns: int) -> None:
        """A slot is found; so much of the prompt need not be computed."""
        self.n_cached = n_cached
        self._start_ns = self._last_ns = now_ns

    def came_later(self, other: Sequence) -> bool:
        """Whether the other one had said something when this one came, or both have, by now.

        What comes during a step is seen after it.
        """
        if other.first_step is None:
            return False
        return self.first_step is not None or self.joined_step is None or self.joined_step > other.first_step + 1

    def score(self, logits: Floats, start: int, *, now_ns: int) -> Chunk | None:
        """What the logits after the tokens from `start` on, (n, n_vocab), say of the prompt. Raises: UnusableOutput."""
        task = self.task
        if self._scoring is None:
            self._scoring = PromptScoring(task.request_id, task.prompt, task.n_logprobs or 0, self._vocabulary)
        chunk = self._scoring.read(logits, start)
        self.is_scoring = not self._scoring.is_over
        self._last_ns = now_ns
        return chunk

    def step(self, logits: Floats, *, is_full: bool, now_ns: int, n_room: int = 1) -> Step:
        """Sample a token, and take those after it that are forced, as far as the context has room for `n_room`.

        `is_full`: the context has no place for another token. Raises: UnusableOutput, InvalidConstraint.
        """
        task = self.task
        probs = None if task.n_logprobs is None else LogProbs(logits, task.n_logprobs)
        token = task.sampler.sample(logits)
        text, reason = self._take_first(token, is_full=is_full, now_ns=now_ns)
        tokens = [token]
        if reason is None and task.may_force:
            while len(tokens) < n_room and reason is None and (forced := task.sampler.forced()):
                for token in forced[: n_room - len(tokens)]:
                    task.sampler.force(token)
                    tokens.append(token)
                    more, reason = self._take(token, is_full=False)
                    text += more
                    if reason is not None:
                        break
        tells = text or task.scores_prompt
        return Step(tokens, self._chunk(token, text, probs) if tells else None, reason)

    def step_picked(self, token: int | None, *, is_full: bool, now_ns: int) -> Step:
        """Take the token that the backend picked. Raises: UnusableOutput, if it could not (None)."""
        if token is None:
            raise UnusableOutput(UNUSABLE)
        text, reason = self._take_first(token, is_full=is_full, now_ns=now_ns)
        return Step([token], self._chunk(token, text, None) if text else None, reason)

    def _take_first(self, token: int, *, is_full: bool, now_ns: int) -> tuple[bytes, Reason | None]:
        self._last_ns = now_ns
        if self._first_ns is None:
            self._first_ns = now_ns
        return self._take(token, is_full=is_full)

    def _take(self, token: int, *, is_full: bool) -> tuple[bytes, Reason | None]:
        """The text that a token releases, and why the generation ends with it, if it does."""
        self.n_generated += 1
        self._n_untold += 1
        is_end = token in self._vocabulary.end_tokens
        text, stopped = self._detokenizer.feed(self._piece(token), is_end=is_end)
        return text, self._why_ended(stopped=stopped, is_end=is_end, is_full=is_full)

    def _piece(self, token: int) -> bytes:
        return self._vocabulary.raw_piece(token) if token in self.task.shown else self._vocabulary.piece(token)

    def _chunk(self, token: int, text: bytes, probs: LogProbs | None) -> Chunk:
        logprobs: tuple[TokenLogprob, ...] = ()
        if probs is not None:  # Compat: the token's text is all that it released, earlier pieces included
            top = tuple(TokenProb(self._piece(other), probs.of(other)) for other in probs.top)
            said = self._vocabulary.raw_piece(token) if self.task.scores_prompt else text
            logprobs = (TokenLogprob(said, probs.of(token), top),)
        n_tokens, self._n_untold = self._n_untold, 0
        return Chunk(self.request_id, text.decode("utf-8", "replace"), logprobs, n_tokens)

    def _why_ended(self, *, stopped: bool, is_end: bool, is_full: bool) -> Reason | None:
        """Compat: llama.cpp's server, process_token: an end token counts for more than a limit reached with it."""
        if is_end:
            return Reason.STOP
        if is_full:
            return Reason.CONTEXT
        if stopped:
            return Reason.STOP
        if self.task.n_predict is not None and self.n_generated >= self.task.n_predict:
            return Reason.LIMIT
        matcher = self.task.sampler.matcher
        if matcher is not None and matcher.is_complete:
            self.n_generated += 1  # only the end token could follow: it is counted, but not computed
            return Reason.STOP
        return None

    def finish(self, reason: Reason) -> Finished:
        """The final answer."""
        first_ns = self._last_ns if self._first_ns is None else self._first_ns
        return Finished(
            self.request_id,
            reason,
            n_prompt=self.task.n_prompt,
            n_cached=self.n_cached,
            prompt_ns=first_ns - self._start_ns,
            n_generated=self.n_generated,
            decode_ns=self._last_ns - first_ns,
            n_truncated=self.task.n_truncated,
            n_shifted=self.n_shifted,
        )
