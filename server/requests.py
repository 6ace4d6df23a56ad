"""The one internal form of a request: what every dialect is translated to, and nothing of how it came over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from models.runner.messages import InputCut
from models.templates.chat import Message, Think, Tool

FOREVER_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What all requests to a model share.

    `model` is the name exactly as sent. `options` are the raw values of the request (checked when they are merged).
    `keep_alive_ns` None: as the server is set; 0: unload when idle; FOREVER_NS: never. `arrived_ns`: monotonic clock.
    """

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    keep_alive_ns: int | None = None
    arrived_ns: int = 0


@dataclass(frozen=True, slots=True)
class TextRequest(InferenceRequest):
    """What chat and generate share.

    `format` is the raw JSON text of the field (b"" when absent). `think` None: not said; `think_if_able`: a model that
    cannot is no error. `shift` None: as the model prefers. `n_logprobs` None: none wanted; k: the chosen token and its
    k best rivals. `grammar` (GBNF or Lark) and `regex` constrain the reply as `format` does; at most one of the three
    is set. `thinking_budget`: how many tokens of thought a reply may have, None for no limit. `template_kwargs`: more
    variables for a Jinja template. `variant`: which of several replies to one question this is; each has a seed of its
    own.
    """

    format: bytes = b""
    think: Think | None = None
    think_if_able: bool = False
    truncate: bool = True
    shift: bool | None = None
    n_logprobs: int | None = None
    debug_render_only: bool = False
    grammar: str = ""
    regex: str = ""
    thinking_budget: int | None = None
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    variant: int = 0


class ToolUse(Enum):
    """Whether a reply may, must or must not call tools."""

    AUTO = auto()
    NONE = auto()
    REQUIRED = auto()


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name`: with `REQUIRED`, the one tool that must be called; empty for any of them."""

    use: ToolUse = ToolUse.AUTO
    name: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest(TextRequest):
    """No messages: load the model (or unload it, with a keep-alive of 0)."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    """False: a reply makes at most one call."""


@dataclass(frozen=True, slots=True)
class GenerateRequest(TextRequest):
    """An empty prompt loads or unloads. `system`, `template` empty: the model's. `context` None: not said.

    `prompt_tokens`: the prompt as token ids of the model's vocabulary, instead of `prompt`, and as raw as one.
    `scores_prompt`: log-probabilities of the prompt's tokens come before those of the reply, and `num_predict` 0 means
    that there is none.
    """

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: tuple[int, ...] | None = None
    raw: bool = False
    images: tuple[bytes, ...] = ()
    prompt_tokens: tuple[int, ...] | None = None
    scores_prompt: bool = False


@dataclass(frozen=True, slots=True)
class EmbedRequest(InferenceRequest):
    """No inputs: load the model. `normalize` False: the vectors as the model gives them. `dimensions` 0: all.

    An input of tokens stands for the text that they are.
    """

    inputs: tuple[str | tuple[int, ...], ...] = ()
    truncate: bool = True
    dimensions: int = 0
    normalize: bool = True


@dataclass(frozen=True, slots=True)
class Rendered:
    """The answer to a request with `debug_render_only`: the prompt, instead of a reply."""

    prompt: str
    n_images: int = 0


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One row for each input, float32; durations in nanoseconds, `n_tokens` over all inputs, as embedded."""

    vectors: tuple[memoryview[float], ...] = ()
    """Each of format "f"."""
    n_tokens: int = 0
    load_ns: int = 0
    total_ns: int = 0
    cuts: tuple[InputCut, ...] = ()
