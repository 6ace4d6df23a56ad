"""From what a runner says to the events of a reply."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from models.parsers.events import AlternativeToken, Delta, DoneReason, Finished, StreamParser, TokenLogprob, Usage
from models.parsers.repetition import RepetitionGuard
from models.runner import messages as wire
from models.runner.messages import Reason
from server.prompt_writers import Prompt

DONE_REASONS = {
    Reason.STOP: DoneReason.STOP,
    Reason.LIMIT: DoneReason.LENGTH,
    Reason.CONTEXT: DoneReason.LENGTH,
    Reason.CANCELLED: None,
}

SHORTEST_NS = 1_000
"""Compat: the engine of the original counts whole microseconds, at least one."""


class ReplyReader:
    """Reads the messages of a reply, and counts the tokens of its thoughts."""

    def __init__(self, prompt: Prompt, load_ns: int, arrived_ns: int, *, calls_once: bool = False) -> None:
        """`calls_once`: only the first call is told. The times are those of the request, see `Usage`."""
        self.is_over = False
        """Whether the end was told: no further message is read."""
        self._prompt = prompt
        self._load_ns = load_ns
        self._arrived_ns = arrived_ns
        self._parser: StreamParser = prompt.parser
        self._guard = RepetitionGuard() if prompt.is_guarded else None
        self._calls_once = calls_once
        self._has_called = False
        self._is_thinking = prompt.thought_alone is not None and prompt.thought_alone.is_open
        self._n_thinking = 0

    def read(self, message: wire.Chunk | wire.Finished) -> Sequence[Delta | Finished]:
        """What is certain by now. A model that says the same thing for ever is abandoned."""
        if isinstance(message, wire.Finished):
            self.is_over = True
            return [self._finished(message)]
        if self._guard is not None and message.n_tokens and self._guard.is_stuck(message.text):
            self.is_over = True
            return [Finished(None)]
        return self._read_chunk(message)

    def _read_chunk(self, chunk: wire.Chunk) -> list[Delta]:
        deltas = self._checked(_with_logprobs(self._parser.feed(chunk.text), chunk))
        for delta in deltas:
            if delta.content or delta.tool_calls:
                self._is_thinking = False
            elif delta.thinking:
                self._is_thinking = True
        # What the parser still holds back counts as what came before it: it is a tag, more often than not.
        self._n_thinking += chunk.n_tokens if self._is_thinking else 0
        return deltas

    def _finished(self, message: wire.Finished) -> Finished:
        """The end of a reply, with what the parser still held back."""
        prompt = self._prompt
        is_cut = prompt.n_dropped or message.n_truncated
        usage = Usage(
            n_prompt=message.n_prompt,
            n_cached=message.n_cached,
            prompt_ns=max(message.prompt_ns, SHORTEST_NS),
            n_generated=message.n_generated,
            decode_ns=max(message.decode_ns, SHORTEST_NS) if message.n_generated else 0,
            load_ns=self._load_ns,
            total_ns=time.monotonic_ns() - self._arrived_ns,
            n_original=message.n_prompt + message.n_truncated + prompt.n_dropped_tokens if is_cut else 0,
            n_dropped=prompt.n_dropped,
            n_shifted=message.n_shifted,
            n_thinking=min(self._n_thinking, message.n_generated),
        )
        rest = _joined(self._checked(self._parser.finish()))
        is_context_full = message.reason is Reason.CONTEXT
        return Finished(DONE_REASONS[message.reason], usage, rest, is_context_full=is_context_full)

    def _checked(self, deltas: list[Delta]) -> list[Delta]:
        return [d for d in map(self._with_first_call, deltas) if d] if self._calls_once else deltas

    def _with_first_call(self, delta: Delta) -> Delta:
        if not delta.tool_calls:
            return delta
        calls = () if self._has_called else delta.tool_calls[:1]
        self._has_called = True
        return replace(delta, tool_calls=calls)


def _with_logprobs(deltas: list[Delta], chunk: wire.Chunk) -> list[Delta]:
    """Log-probabilities are told even while a parser still waits."""
    if not chunk.logprobs:
        return deltas
    logprobs = tuple(
        TokenLogprob(t.piece, t.logprob, tuple(AlternativeToken(a.piece, a.logprob) for a in t.top))
        for t in chunk.logprobs
    )
    if not deltas:
        return [Delta(logprobs=logprobs)]
    return [*deltas[:-1], replace(deltas[-1], logprobs=logprobs)]


def _joined(deltas: list[Delta]) -> Delta:
    return Delta(
        "".join(d.content for d in deltas),
        "".join(d.thinking for d in deltas),
        tuple(call for d in deltas for call in d.tool_calls),
    )
