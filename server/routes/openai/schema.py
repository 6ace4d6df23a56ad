"""The bodies of chat completions, completions and embeddings: field names and types.

# Compat: http-api 8.2 to 8.4; Ollama openai/openai.go 0.33.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.json_decoding.containers import Pointer, Slice, Struct
from server.json_decoding.kinds import State, member
from server.json_decoding.nodes import Node, kind_of
from server.json_decoding.scalars import ANY, BOOL, FLOAT32, FLOAT64, INT, RAW, STRING
from server.routes.extras import ExtraFields, ExtraTextFields
from server.routes.tools import TOOL, ToolBody


@dataclass(slots=True)
class ToolCallFunctionBody:
    name: str = member(STRING)
    arguments: str = member(STRING)


TOOL_CALL_FUNCTION = Struct(
    'struct { Name string "json:\\"name\\""; Arguments string "json:\\"arguments\\"" }', ToolCallFunctionBody
)


@dataclass(slots=True)
class ToolCallBody:
    id: str = member(STRING)
    index: int = member(INT)
    type: str = member(STRING)
    function: ToolCallFunctionBody = member(TOOL_CALL_FUNCTION)


@dataclass(slots=True)
class MessageBody:
    """`tool_calls` None: the field is absent, which is not the same as an empty list."""

    role: str = member(STRING)
    content: Any = member(ANY)
    reasoning: str = member(STRING)
    tool_calls: list[ToolCallBody] | None = member(Pointer(Slice(Struct("openai.ToolCall", ToolCallBody))))
    name: str = member(STRING)
    tool_call_id: str = member(STRING)


@dataclass(slots=True)
class StreamOptionsBody:
    include_usage: bool = member(BOOL)


@dataclass(slots=True)
class JsonSchemaBody:
    name: str = member(STRING)
    schema: bytes = member(RAW)
    strict: bool | None = member(Pointer(BOOL))


@dataclass(slots=True)
class ResponseFormatBody:
    type: str = member(STRING)
    json_schema: JsonSchemaBody | None = member(Pointer(Struct("openai.JsonSchema", JsonSchemaBody)))


@dataclass(slots=True)
class ReasoningBody:
    effort: str = member(STRING)


STREAM_OPTIONS = Pointer(Struct("openai.StreamOptions", StreamOptionsBody))


@dataclass(slots=True)
class ChatBody(ExtraTextFields):
    model: str = member(STRING)
    messages: list[MessageBody] = member(Slice(Struct("openai.Message", MessageBody)))
    stream: bool = member(BOOL)
    stream_options: StreamOptionsBody | None = member(STREAM_OPTIONS)
    max_tokens: int | None = member(Pointer(INT))
    seed: int | None = member(Pointer(INT))
    stop: Any = member(ANY)
    temperature: float | None = member(Pointer(FLOAT64))
    frequency_penalty: float | None = member(Pointer(FLOAT64))
    presence_penalty: float | None = member(Pointer(FLOAT64))
    top_p: float | None = member(Pointer(FLOAT64))
    response_format: ResponseFormatBody | None = member(Pointer(Struct("openai.ResponseFormat", ResponseFormatBody)))
    tools: list[ToolBody] = member(Slice(TOOL))
    reasoning: ReasoningBody | None = member(Pointer(Struct("openai.Reasoning", ReasoningBody)))
    reasoning_effort: str | None = member(Pointer(STRING))
    logprobs: bool | None = member(Pointer(BOOL))
    top_logprobs: int = member(INT)
    debug_render_only: bool = member(BOOL, "_debug_render_only")
    # Fields of OpenAI's that Ollama ignores
    max_completion_tokens: int | None = member(Pointer(INT))
    n: int | None = member(Pointer(INT))
    tool_choice: Any = member(ANY)
    parallel_tool_calls: bool | None = member(Pointer(BOOL))


Prompt = str | tuple[int, ...]
"""A text, or the ids of tokens."""


def _read_prompt(node: Node) -> Prompt | None:
    """None for what is no prompt."""
    if type(node) is str:
        return node
    if not isinstance(node, list) or not node:
        return None
    tokens = tuple(item for item in node if type(item) is int)
    return tokens if len(tokens) == len(node) else None


@dataclass(frozen=True, slots=True)
class _PromptsKind:
    """One prompt or several. # Compat: what is neither is refused as by Ollama, which takes one text."""

    go_type: str = "string"

    def zero(self) -> tuple[Prompt, ...]:
        return ("",)

    def decode(self, node: Node, state: State, current: Any) -> Any:
        one = _read_prompt(node)
        several = [_read_prompt(item) for item in node] if one is None and isinstance(node, list) else [one]
        prompts = tuple(prompt for prompt in several if prompt is not None)
        if prompts and len(prompts) == len(several):
            return prompts
        if node is not None:
            state.mismatch(kind_of(node), self.go_type)
        return current


@dataclass(slots=True)
class CompletionBody(ExtraTextFields):
    model: str = member(STRING)
    prompt: tuple[Prompt, ...] = member(_PromptsKind())
    frequency_penalty: float = member(FLOAT32)
    max_tokens: int | None = member(Pointer(INT))
    presence_penalty: float = member(FLOAT32)
    seed: int | None = member(Pointer(INT))
    stop: Any = member(ANY)
    stream: bool = member(BOOL)
    stream_options: StreamOptionsBody | None = member(STREAM_OPTIONS)
    temperature: float | None = member(Pointer(FLOAT32))
    top_p: float = member(FLOAT32)
    suffix: str = member(STRING)
    logprobs: int | None = member(Pointer(INT))
    debug_render_only: bool = member(BOOL, "_debug_render_only")
    # Fields of OpenAI's that Ollama ignores
    n: int | None = member(Pointer(INT))
    best_of: int | None = member(Pointer(INT))
    echo: bool = member(BOOL)


@dataclass(slots=True)
class EmbeddingBody(ExtraFields):
    input: Any = member(ANY)
    model: str = member(STRING)
    dimensions: int = member(INT)
    encoding_format: str = member(STRING)


WITHOUT_EFFECT = frozenset(
    ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
)
"""Fields of OpenAI's for its accounts and its machines: they would change no reply, and go without saying."""

CHAT = Struct("openai.ChatCompletionRequest", ChatBody)
COMPLETION = Struct("openai.CompletionRequest", CompletionBody)
EMBEDDING = Struct("openai.EmbedRequest", EmbeddingBody)
