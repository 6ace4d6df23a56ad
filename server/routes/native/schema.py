"""The bodies of the native API, as Go declares them: field names and types.

# Compat: http-api 2.2, 6.3 to 6.14; Ollama api/types.go 0.33.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.templates.chat import Think
from server.json_decoding.containers import Map, Own, Pointer, Slice, Struct
from server.json_decoding.kinds import member
from server.json_decoding.scalars import ANY, BOOL, INT, RAW, STRING, Bytes
from server.routes.tools import ARGUMENTS, TOOL, ToolBody
from server.routes.values import KEEP_ALIVE, OPTIONS, THINK

IMAGES = Slice(Bytes("api.ImageData"))

# --------------------------------------------------------------------------------------------------------------------
# Messages and tools


@dataclass(slots=True)
class ToolCallFunctionBody:
    index: int = member(INT)
    name: str = member(STRING)
    arguments: dict[str, Any] = member(ARGUMENTS)


@dataclass(slots=True)
class ToolCallBody:
    id: str = member(STRING)
    function: ToolCallFunctionBody = member(Struct("api.ToolCallFunction", ToolCallFunctionBody))


@dataclass(slots=True)
class MessageBody:
    role: str = member(STRING)
    content: str = member(STRING)
    thinking: str = member(STRING)
    images: list[bytes] = member(IMAGES)
    tool_calls: list[ToolCallBody] = member(Slice(Struct("api.ToolCall", ToolCallBody)))
    tool_name: str = member(STRING)
    tool_call_id: str = member(STRING)


MESSAGES = Slice(Own(Struct("api.Alias", MessageBody), "api.Message"))


TOOLS = Slice(TOOL, "api.Tools")

# --------------------------------------------------------------------------------------------------------------------
# Inference


@dataclass(slots=True)
class GenerateBody:
    model: str = member(STRING)
    prompt: str = member(STRING)
    suffix: str = member(STRING)
    system: str = member(STRING)
    template: str = member(STRING)
    context: list[int] | None = member(Pointer(Slice(INT)))
    stream: bool | None = member(Pointer(BOOL))
    raw: bool = member(BOOL)
    format: bytes = member(RAW)
    keep_alive: int | None = member(KEEP_ALIVE)
    images: list[bytes] = member(IMAGES)
    options: dict[str, Any] = member(OPTIONS)
    think: Think | None = member(THINK)
    truncate: bool | None = member(Pointer(BOOL))
    shift: bool | None = member(Pointer(BOOL))
    debug_render_only: bool = member(BOOL, "_debug_render_only")
    logprobs: bool = member(BOOL)
    top_logprobs: int = member(INT)
    grammar: str = member(STRING)
    regex: str = member(STRING)
    thinking_budget: int | None = member(Pointer(INT))


@dataclass(slots=True)
class ChatBody:
    model: str = member(STRING)
    messages: list[MessageBody] = member(MESSAGES)
    stream: bool | None = member(Pointer(BOOL))
    format: bytes = member(RAW)
    keep_alive: int | None = member(KEEP_ALIVE)
    tools: list[ToolBody] = member(TOOLS)
    options: dict[str, Any] = member(OPTIONS)
    think: Think | None = member(THINK)
    truncate: bool | None = member(Pointer(BOOL))
    shift: bool | None = member(Pointer(BOOL))
    debug_render_only: bool = member(BOOL, "_debug_render_only")
    logprobs: bool = member(BOOL)
    top_logprobs: int = member(INT)
    grammar: str = member(STRING)
    regex: str = member(STRING)
    thinking_budget: int | None = member(Pointer(INT))


@dataclass(slots=True)
class EmbedBody:
    model: str = member(STRING)
    input: Any = member(ANY)
    keep_alive: int | None = member(KEEP_ALIVE)
    truncate: bool | None = member(Pointer(BOOL))
    dimensions: int = member(INT)
    options: dict[str, Any] = member(OPTIONS)


@dataclass(slots=True)
class EmbeddingBody:
    model: str = member(STRING)
    prompt: str = member(STRING)
    keep_alive: int | None = member(KEEP_ALIVE)
    options: dict[str, Any] = member(OPTIONS)


GENERATE = Struct("api.GenerateRequest", GenerateBody)
CHAT = Struct("api.ChatRequest", ChatBody)
EMBED = Struct("api.EmbedRequest", EmbedBody)
EMBEDDING = Struct("api.EmbeddingRequest", EmbeddingBody)

# --------------------------------------------------------------------------------------------------------------------
# Models


@dataclass(slots=True)
class ShowBody:
    model: str = member(STRING)
    system: str = member(STRING)
    template: str = member(STRING)
    verbose: bool = member(BOOL)
    options: dict[str, Any] = member(OPTIONS)
    name: str = member(STRING)


@dataclass(slots=True)
class CopyBody:
    source: str = member(STRING)
    destination: str = member(STRING)


@dataclass(slots=True)
class DeleteBody:
    model: str = member(STRING)
    name: str = member(STRING)


@dataclass(slots=True)
class TransferBody:
    """Of pull and push."""

    model: str = member(STRING)
    insecure: bool = member(BOOL)
    username: str = member(STRING)
    password: str = member(STRING)
    stream: bool | None = member(Pointer(BOOL))
    name: str = member(STRING)


@dataclass(slots=True)
class CreateBody:
    model: str = member(STRING)
    stream: bool | None = member(Pointer(BOOL))
    quantize: str = member(STRING)
    draft_quantize: str = member(STRING)
    from_name: str = member(STRING, "from")
    remote_host: str = member(STRING)
    files: dict[str, str] | None = member(Pointer(Map(STRING)))
    draft_files: dict[str, str] = member(Map(STRING))
    adapters: dict[str, str] = member(Map(STRING))
    template: str = member(STRING)
    license: Any = member(ANY)
    system: str = member(STRING)
    parameters: dict[str, Any] = member(Map(ANY))
    messages: list[MessageBody] = member(MESSAGES)
    renderer: str = member(STRING)
    parser: str = member(STRING)
    requires: str = member(STRING)
    info: dict[str, Any] = member(Map(ANY))
    name: str = member(STRING)
    quantization: str = member(STRING)
    imatrix: dict[str, str] = member(Map(STRING))


SHOW = Struct("api.ShowRequest", ShowBody)
COPY = Struct("api.CopyRequest", CopyBody)
DELETE = Struct("api.DeleteRequest", DeleteBody)
PULL = Struct("api.PullRequest", TransferBody)
PUSH = Struct("api.PushRequest", TransferBody)
CREATE = Struct("api.CreateRequest", CreateBody)
