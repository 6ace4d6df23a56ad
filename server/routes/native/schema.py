"""The bodies of the native API, as Go declares them: field names, types, and the types that decode themselves.

# Compat: http-api 2.2, 6.3 to 6.14; Ollama api/types.go 0.33.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.templates.chat import Think
from registry.gojson import quote
from server.durations import MAX_DURATION, SECOND, InvalidDuration, parse_duration
from server.json_decoding.errors import Refused, TypeMismatch
from server.json_decoding.kinds import (
    ANY,
    BOOL,
    INT,
    RAW,
    STRING,
    Bytes,
    Custom,
    Kind,
    Later,
    Map,
    OrderedMap,
    Own,
    Pointer,
    Slice,
    Struct,
    decode,
    member,
    to_float64,
)
from server.json_decoding.nodes import Node, Number, Object

THINK_LEVELS = ("high", "medium", "low", "max")
_CHOICES = ", ".join(f'"{level}"' for level in THINK_LEVELS)

# --------------------------------------------------------------------------------------------------------------------
# Types that decode themselves


def read_keep_alive(node: Node) -> int:
    """Nanoseconds; negative values mean forever. # Compat: http-api 2.2, api.Duration."""
    match node:
        case bool():
            raise Refused("Unsupported type: 'bool'")
        case Number() | int():
            seconds = to_float64(node)
            if seconds is None:
                raise TypeMismatch(f"number {node}", "float64")
            return MAX_DURATION if seconds < 0 else int(min(seconds * SECOND, MAX_DURATION))
        case str():
            try:
                ns = parse_duration(node)
            except InvalidDuration as error:
                raise Refused(str(error)) from error
            return MAX_DURATION if ns < 0 else ns
        case Object():
            raise Refused("Unsupported type: 'map[string]interface {}'")
        case _:
            raise Refused("Unsupported type: '[]interface {}'")


def read_think(node: Node) -> Think:
    """# Compat: http-api 2.2, api.ThinkValue."""
    if isinstance(node, bool):
        return Think(node)
    if type(node) is not str:
        raise Refused(f"think must be a boolean or string ({_CHOICES}, true, or false)")
    if node not in THINK_LEVELS:
        raise Refused(f"invalid think value: {quote(node)} (must be {_CHOICES}, true, or false)")
    return Think(True, node)


def read_property_type(node: Node) -> list[str]:
    """One name of a type, or several. # Compat: http-api 2.2, api.PropertyType."""
    if type(node) is str:
        return [node]
    names: list[str] = decode(Slice(STRING), node)
    return names


KEEP_ALIVE = Pointer(Custom("api.Duration", read_keep_alive))
THINK = Pointer(Custom("api.ThinkValue", read_think))
PROPERTY_TYPE = Pointer(Custom("api.PropertyType", read_property_type))
IMAGES = Slice(Bytes("api.ImageData"))
OPTIONS = Map(ANY)

# --------------------------------------------------------------------------------------------------------------------
# Messages and tools


@dataclass(slots=True)
class ToolCallFunctionBody:
    index: int = member(INT)
    name: str = member(STRING)
    arguments: dict[str, Any] = member(OrderedMap(ANY, "api.ToolCallFunctionArguments"))


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


def _property() -> Kind:
    return PROPERTY


def _properties() -> Kind:
    return PROPERTIES


@dataclass(slots=True)
class PropertyBody:
    anyOf: list[PropertyBody] = member(Slice(Later("api.ToolProperty", _property)))
    type: list[str] | None = member(PROPERTY_TYPE)
    items: Any = member(ANY)
    description: str = member(STRING)
    enum: list[Any] = member(Slice(ANY))
    properties: dict[str, PropertyBody] | None = member(Pointer(Later("api.ToolPropertiesMap", _properties)))
    required: list[str] = member(Slice(STRING))


PROPERTY = Struct("api.ToolProperty", PropertyBody)
PROPERTIES = OrderedMap(PROPERTY, "api.ToolPropertiesMap")


@dataclass(slots=True)
class ParametersBody:
    type: str = member(STRING)
    defs: Any = member(ANY, "$defs")
    items: Any = member(ANY)
    required: list[str] = member(Slice(STRING))
    properties: dict[str, PropertyBody] | None = member(Pointer(PROPERTIES))


@dataclass(slots=True)
class ToolFunctionBody:
    name: str = member(STRING)
    description: str = member(STRING)
    parameters: ParametersBody = member(Struct("api.ToolFunctionParameters", ParametersBody))


@dataclass(slots=True)
class ToolBody:
    type: str = member(STRING)
    items: Any = member(ANY)
    function: ToolFunctionBody = member(Struct("api.ToolFunction", ToolFunctionBody))


TOOLS = Slice(Struct("api.Tool", ToolBody), "api.Tools")

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


SHOW = Struct("api.ShowRequest", ShowBody)
COPY = Struct("api.CopyRequest", CopyBody)
DELETE = Struct("api.DeleteRequest", DeleteBody)
PULL = Struct("api.PullRequest", TransferBody)
PUSH = Struct("api.PushRequest", TransferBody)
CREATE = Struct("api.CreateRequest", CreateBody)
