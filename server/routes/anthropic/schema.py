"""The body of a request for a message: field names and types, and the message, which decodes itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.json_decoding.containers import Pointer, Slice, Struct
from server.json_decoding.errors import UnexpectedEnd
from server.json_decoding.kinds import State, decode, member
from server.json_decoding.nodes import Node
from server.json_decoding.scalars import ANY, BOOL, FLOAT64, INT, RAW, STRING, UNREAD, Missing
from server.routes.extras import ExtraTextFields
from server.routes.tools import ARGUMENTS


@dataclass(slots=True)
class CitationBody:
    type: str = member(STRING)
    url: str = member(STRING)
    title: str = member(STRING)
    encrypted_index: str = member(STRING)
    cited_text: str = member(STRING)


@dataclass(slots=True)
class ImageSourceBody:
    type: str = member(STRING)
    media_type: str = member(STRING)
    data: str = member(STRING)
    url: str = member(STRING)


@dataclass(slots=True)
class BlockBody:
    """A part of a message of any type; `input` None: not said."""

    type: str = member(STRING)
    text: str | None = member(Pointer(STRING))
    citations: list[CitationBody] = member(Slice(Struct("anthropic.Citation", CitationBody)))
    source: ImageSourceBody | None = member(Pointer(Struct("anthropic.ImageSource", ImageSourceBody)))
    id: str = member(STRING)
    name: str = member(STRING)
    input: dict[str, Any] | None = member(Pointer(ARGUMENTS))
    tool_use_id: str = member(STRING)
    content: Any = member(ANY)
    is_error: bool = member(BOOL)
    thinking: str | None = member(Pointer(STRING))
    signature: str = member(STRING)
    cache_control: Any = member(ANY)


BLOCK = Struct("anthropic.ContentBlock", BlockBody)
BLOCKS = Slice(BLOCK)


@dataclass(slots=True)
class MessageBody:
    role: str = ""
    content: list[BlockBody] = field(default_factory=list)


@dataclass(slots=True)
class _RawMessage:
    role: str = member(STRING)
    content: Node | Missing = member(UNREAD)


_RAW_MESSAGE = Struct(
    'struct { Role string "json:\\"role\\""; Content json.RawMessage "json:\\"content\\"" }', _RawMessage
)


@dataclass(frozen=True, slots=True)
class _MessageKind:
    """Content is a text, which stands for one block, or a list of blocks."""

    go_type: str = "anthropic.MessageParam"

    def zero(self) -> MessageBody:
        return MessageBody()

    def decode(self, node: Node, state: State, current: Any) -> MessageBody:
        raw = decode(_RAW_MESSAGE, node)
        if isinstance(raw.content, Missing):
            raise UnexpectedEnd
        if raw.content is None or type(raw.content) is str:
            return MessageBody(raw.role, [BlockBody(type="text", text=raw.content or "")])
        return MessageBody(raw.role, decode(BLOCKS, raw.content))


@dataclass(slots=True)
class ToolBody:
    type: str = member(STRING)
    name: str = member(STRING)
    description: str = member(STRING)
    input_schema: bytes = member(RAW)
    max_uses: int = member(INT)
    cache_control: Any = member(ANY)


@dataclass(slots=True)
class ToolChoiceBody:
    type: str = member(STRING)
    name: str = member(STRING)
    disable_parallel_tool_use: bool = member(BOOL)


@dataclass(slots=True)
class ThinkingBody:
    type: str = member(STRING)
    budget_tokens: int = member(INT)


@dataclass(slots=True)
class MetadataBody:
    user_id: str = member(STRING)


@dataclass(slots=True)
class OutputConfigBody:
    effort: str = member(STRING)


@dataclass(slots=True)
class MessagesBody(ExtraTextFields):
    model: str = member(STRING)
    max_tokens: int = member(INT)
    messages: list[MessageBody] = member(Slice(_MessageKind()))
    system: Any = member(ANY)
    stream: bool = member(BOOL)
    temperature: float | None = member(Pointer(FLOAT64))
    top_p: float | None = member(Pointer(FLOAT64))
    top_k: int | None = member(Pointer(INT))
    stop_sequences: list[str] = member(Slice(STRING))
    tools: list[ToolBody] = member(Slice(Struct("anthropic.Tool", ToolBody)))
    tool_choice: ToolChoiceBody | None = member(Pointer(Struct("anthropic.ToolChoice", ToolChoiceBody)))
    thinking: ThinkingBody | None = member(Pointer(Struct("anthropic.ThinkingConfig", ThinkingBody)))
    metadata: MetadataBody | None = member(Pointer(Struct("anthropic.Metadata", MetadataBody)))
    cache_control: Any = member(ANY)
    output_config: OutputConfigBody | None = member(Pointer(Struct("anthropic.OutputConfig", OutputConfigBody)))


WITHOUT_EFFECT = frozenset(("service_tier", "betas", "inference_geo"))
"""Fields of Anthropic's for its machines: they would change no reply, and go without saying."""

MESSAGES = Struct("anthropic.MessagesRequest", MessagesBody)
