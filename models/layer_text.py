"""The JSON that a stored model carries: its parameters and its messages."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from models.errors import InvalidLayer

_KINDS: Final = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def parse_parameters(text: str) -> dict[str, Any]:
    """The content of a params layer; its values are checked where they are used. Raises: InvalidLayer."""
    value = _parse("params", text)
    if not isinstance(value, dict | None):
        raise InvalidLayer("params", unmarshal_error(value, "map[string]interface {}"))
    return value or {}


def parse_messages(text: str) -> tuple[dict[str, Any], ...]:
    """The content of a messages layer: objects whose `role` and `content` are strings. Raises: InvalidLayer."""
    value = _parse("messages", text)
    if not isinstance(value, list | None):
        raise InvalidLayer("messages", unmarshal_error(value, "[]api.Message"))
    for message in value or ():
        if not isinstance(message, dict):
            raise InvalidLayer("messages", unmarshal_error(message, "api.Message"))
        for key in ("role", "content"):
            if not isinstance(message.get(key, ""), str):
                raise InvalidLayer("messages", unmarshal_error(message[key], "string"))
    return tuple(value or ())


def as_floats(value: Any) -> Any:
    """A decoded JSON value as Go's decoder keeps it: every number a float64, infinite where it does not fit."""
    match value:
        case bool():
            return value
        case int():
            try:
                return float(value)
            except OverflowError:
                return math.inf if value > 0 else -math.inf
        case Mapping():
            return {key: as_floats(member) for key, member in value.items()}
        case list() | tuple():
            return [as_floats(item) for item in value]
        case _:
            return value


def unmarshal_error(value: object, wanted: str) -> str:
    """What Go's decoder says of a value that does not fit the type `wanted`."""
    return f"json: cannot unmarshal {_KINDS.get(type(value), 'null')} into Go value of type {wanted}"


def _parse(kind: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidLayer(kind, f"{kind} layer: {error}") from error
