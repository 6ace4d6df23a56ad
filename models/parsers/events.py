"""What parsers make of generated text, and what every dialect reads: the one stream of events of a reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One complete call. `arguments` keeps the order in which the model wrote the keys."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    index: int = 0
    """Counts from 0 within a reply."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class AlternativeToken:
    """A token that could have stood there; `text` of half a character holds U+FFFD, `piece` its true bytes."""

    piece: bytes
    logprob: float

    @property
    def text(self) -> str:
        return self.piece.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token with its natural log-probability and the best alternatives, most likely first."""

    piece: bytes
    logprob: float
    top: tuple[AlternativeToken, ...] = ()

    @property
    def text(self) -> str:
        return self.piece.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Delta:
    """The next part of a reply; empty fields say nothing."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.content or self.thinking or self.tool_calls or self.logprobs)


class DoneReason(StrEnum):
    """Why a reply ended, in the words of the native API."""

    STOP = "stop"
    LENGTH = "length"
    LOAD = "load"
    UNLOAD = "unload"


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts in tokens, durations in nanoseconds."""

    n_prompt: int = 0
    n_cached: int = 0
    prompt_ns: int = 0
    n_generated: int = 0
    decode_ns: int = 0
    load_ns: int = 0
    """From the arrival of the request until it had a runner."""
    total_ns: int = 0
    n_original: int = 0
    """Tokens that the prompt would have had, had all of it fitted the context; 0: it did."""
    n_dropped: int = 0
    """Messages that were left out of the prompt for that."""
    n_shifted: int = 0
    """Tokens that the context lost while the reply was generated."""
    n_thinking: int = 0
    """Those of `n_generated` that were thoughts."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a reply. `reason` None: the reply was abandoned (repetition guard), no final object follows."""

    reason: DoneReason | None
    usage: Usage = Usage()
    delta: Delta = Delta()
    """What came in the very last moment: tool calls of the native path, held-back text."""
    context: tuple[int, ...] = ()
    """Tokens of prompt and reply, for the deprecated `context` of generate."""
    is_context_full: bool = False
    """With `LENGTH`: it was not the limit of the request that ended the reply."""


Event = Delta | Finished


class StreamParser(Protocol):
    """Cuts generated text into content, thinking and tool calls; same result however the text is split."""

    def feed(self, text: str) -> list[Delta]:
        """Everything that is certain by now."""
        ...

    def finish(self) -> list[Delta]:
        """What was held back; the parser is then spent."""
        ...
