"""The layers that a request brings as text: template, system prompt, licenses, parameters, messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from models.capabilities import GoTemplate
from models.create.layers import NewLayer, read_blob, without
from models.create.request import CreateRequest
from models.errors import CreateFailed, CreateRefused
from models.layer_text import as_floats, parse_parameters, unmarshal_error
from models.templates.errors import TemplateError
from registry.digest import Digest
from registry.gojson import encode, encode_sorted
from registry.manifest import MediaType
from registry.store import Store

MESSAGE_KEYS: Final = ("thinking", "images", "tool_calls", "tool_name", "tool_call_id")
"""What a stored message may have besides role and content, in order."""


def add_texts(store: Store, layers: Iterable[NewLayer], request: CreateRequest) -> list[NewLayer]:
    """The layers with those of the request: each kind replaced and put at the end, licenses appended.

    Raises: CreateRefused for a template that cannot be parsed; CreateFailed; InvalidLayer; BlobMissing.
    # Compat: registry-store-cli 6.5: order and merging; empty texts change nothing.
    """
    found = list(layers)
    if request.template:
        check_template(request.template)
        found = [*without(found, MediaType.TEMPLATE), _text(MediaType.TEMPLATE, request.template)]
    if request.system:
        found = [*without(found, MediaType.SYSTEM), _text(MediaType.SYSTEM, request.system)]
    found += [_text(MediaType.LICENSE, license) for license in licenses_of(request.license)]
    found = _with_parameters(store, found, request.parameters)
    if request.messages:
        found = [*without(found, MediaType.MESSAGES), NewLayer.of_text(MediaType.MESSAGES, encode_messages(request))]
    return found


def check_template(text: str) -> None:
    """Raises: CreateRefused."""
    try:
        GoTemplate.parse(text)
    except TemplateError as error:
        raise CreateRefused(f"template error: {error}") from error


def licenses_of(value: Any) -> tuple[str, ...]:
    """A license, or several, as the client sent them. Raises: CreateFailed with the text of Go's decoder."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise CreateFailed(unmarshal_error(value, "[]string"))
    for item in value:
        if not isinstance(item, str | None):
            raise CreateFailed(unmarshal_error(item, "string"))
    return tuple(item or "" for item in value)


def _with_parameters(store: Store, layers: list[NewLayer], asked: Mapping[str, Any]) -> list[NewLayer]:
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.kind == MediaType.PARAMS:
            # Compat: where there are several such layers, the first one counts here.
            merged = parse_parameters(_content(store, layer).decode("utf-8", "replace")) | merged
    merged |= asked
    if not merged:
        return layers
    content = encode_sorted(as_floats(merged)) + b"\n"
    return [*without(layers, MediaType.PARAMS), NewLayer.of_text(MediaType.PARAMS, content)]


def _content(store: Store, layer: NewLayer) -> bytes:
    return read_blob(store, layer.content) if isinstance(layer.content, Digest) else layer.content


def encode_messages(request: CreateRequest) -> bytes:
    """The content of the messages layer."""
    return encode([_message_fields(message) for message in request.messages]) + b"\n"


def _message_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    always = {"role": str(message.get("role") or "").lower(), "content": message.get("content") or ""}
    return always | {key: message[key] for key in MESSAGE_KEYS if message.get(key)}


def _text(kind: MediaType, text: str) -> NewLayer:
    return NewLayer.of_text(kind, text.encode("utf-8", "replace"))
