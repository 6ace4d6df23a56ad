"""The `input` of a response: a text, or items of several types, which hold texts or parts of several types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from registry.gojson import quote
from server.json_decoding.containers import Pointer, Slice, Struct
from server.json_decoding.errors import DecodeError, Refused, TypeMismatch
from server.json_decoding.kinds import decode, member
from server.json_decoding.nodes import Node, kind_of
from server.json_decoding.scalars import STRING, UNREAD, Missing

T = TypeVar("T")

RAW_LIST = "[]json.RawMessage"


def _written_out(*fields: tuple[str, str, str]) -> str:
    """A struct without a name, as Go tells its type."""
    return "struct { " + "; ".join(f'{name} {kind} "json:\\"{key}\\""' for name, kind, key in fields) + " }"


_TYPE, _ROLE = ("Type", "string", "type"), ("Role", "string", "role")

# ---- parts ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class TextPart:
    type: str = member(STRING)
    text: str = member(STRING)


@dataclass(slots=True)
class ImagePart:
    type: str = member(STRING)
    detail: str = member(STRING)
    file_id: str = member(STRING)
    image_url: str = member(STRING)


@dataclass(slots=True)
class FilePart:
    type: str = member(STRING)
    file_data: str = member(STRING)
    file_id: str = member(STRING)
    file_url: str = member(STRING)
    filename: str = member(STRING)


Part = TextPart | ImagePart | FilePart


@dataclass(slots=True)
class _Tagged:
    type: str = member(STRING)


_TAGGED = Struct(_written_out(_TYPE), _Tagged)
_PARTS = {
    "input_text": Struct("openai.ResponsesTextContent", TextPart),
    "output_text": Struct("openai.ResponsesOutputTextContent", TextPart),
    "input_image": Struct("openai.ResponsesImageContent", ImagePart),
    "input_file": Struct("openai.ResponsesFileContent", FilePart),
}


def _read_part(node: Node) -> Part:
    kind = decode(_TAGGED, node).type
    struct = _PARTS.get(kind)
    if struct is None:
        raise Refused(f"unknown content type: {kind}")
    part: Part = decode(struct, node)
    return part


def _read_content(name: str, node: Node | Missing) -> str | list[Part]:
    """A text, or parts. Raises: Refused."""
    if isinstance(node, Missing) or node is None:
        return ""
    if type(node) is str:
        return node
    return _read_list(name, node, _read_part)


def _read_list(name: str, node: Node, read: Callable[[Node], T]) -> list[T]:
    """Raises: Refused, with the place in front of what is wrong there."""
    if not isinstance(node, list):
        raise Refused(f"{name} must be a string or array: {TypeMismatch(kind_of(node), RAW_LIST)}")
    found: list[T] = []
    for i, item in enumerate(node):
        try:
            found.append(read(item))
        except DecodeError as error:
            raise Refused(f"{name}[{i}]: {error}") from error
    return found


# ---- items ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MessageItem:
    role: str
    content: str | list[Part]


@dataclass(slots=True)
class CallItem:
    """A call that the model made earlier; `arguments` are the text of a JSON object."""

    id: str = member(STRING)
    type: str = member(STRING)
    call_id: str = member(STRING)
    name: str = member(STRING)
    arguments: str = member(STRING)


@dataclass(slots=True)
class OutputItem:
    """What such a call returned."""

    call_id: str
    content: str | list[Part]


@dataclass(slots=True)
class _Summary:
    type: str = member(STRING)
    text: str = member(STRING)


@dataclass(slots=True)
class ReasoningItem:
    id: str = member(STRING)
    type: str = member(STRING)
    summary: list[_Summary] = member(Slice(Struct("openai.ResponsesReasoningSummary", _Summary)))
    encrypted_content: str = member(STRING)


@dataclass(slots=True)
class _SearchAction:
    type: str = member(STRING)
    query: str = member(STRING)


@dataclass(slots=True)
class SearchItem:
    """A search on the web that was done earlier; what it found is in the message after it."""

    id: str = member(STRING)
    type: str = member(STRING)
    status: str = member(STRING)
    action: _SearchAction | None = member(Pointer(Struct("openai.ResponsesWebSearchAction", _SearchAction)))


Item = MessageItem | CallItem | OutputItem | ReasoningItem | SearchItem


@dataclass(slots=True)
class _ItemHead:
    type: str = member(STRING)
    role: str = member(STRING)


@dataclass(slots=True)
class _MessageBody:
    type: str = member(STRING)
    role: str = member(STRING)
    content: Node | Missing = member(UNREAD)


@dataclass(slots=True)
class _OutputBody:
    type: str = member(STRING)
    call_id: str = member(STRING)
    output: Node | Missing = member(UNREAD)


_HEAD = Struct(_written_out(_TYPE, _ROLE), _ItemHead)
_MESSAGE = Struct(_written_out(_TYPE, _ROLE, ("Content", "json.RawMessage", "content")), _MessageBody)
_OUTPUT = Struct(
    _written_out(_TYPE, ("CallID", "string", "call_id"), ("Output", "json.RawMessage", "output")), _OutputBody
)
_PLAIN_ITEMS = {
    "function_call": Struct("openai.ResponsesFunctionCall", CallItem),
    "reasoning": Struct("openai.ResponsesReasoningInput", ReasoningItem),
    "web_search_call": Struct("openai.ResponsesWebSearchCall", SearchItem),
}


def _read_item(node: Node) -> Item:
    head = decode(_HEAD, node)
    kind = head.type or ("message" if head.role else "")
    match kind:
        case "message":
            message = decode(_MESSAGE, node)
            return MessageItem(message.role, _read_content("content", message.content))
        case "function_call_output":
            output = decode(_OUTPUT, node)
            return OutputItem(output.call_id, _read_content("output", output.output))
        case "":
            raise Refused("input item missing required 'type' field")
        case _ if kind not in _PLAIN_ITEMS:
            raise Refused(f"unknown input item type: {quote(kind)}")
    item: Item = decode(_PLAIN_ITEMS[kind], node)
    return item


def read_input(node: Node) -> Any:
    """A text, or a list of items. Raises: Refused."""
    return node if type(node) is str else _read_list("input", node, _read_item)
