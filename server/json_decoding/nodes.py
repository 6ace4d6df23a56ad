"""A parsed body before it has types: JSON as it was written, with all keys and the spelling of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from server.json_decoding.errors import Refused

MAX_KEPT_DEPTH = 200
"""Levels of nesting in a value that is kept as it is; deeper ones would break what works on it later."""

TOO_DEEP = "exceeded max depth"


class Number(str):
    """The literal of a number. Integers may also come as int, where nobody needs the spelling."""

    __slots__ = ()


class Object(tuple[tuple[str, "Node"], ...]):
    """The members of an object in their order; a key may occur more than once."""

    __slots__ = ()


Node: TypeAlias = "str | Number | int | Object | list[Node] | None"


def kind_of(node: Node) -> str:
    """Go's word for what kind of value this is."""
    match node:
        case Object():
            return "object"
        case list():
            return "array"
        case bool():
            return "bool"
        case Number() | int():
            return "number"
        case str():
            return "string"
        case None:
            return "null"


def check_depth(depth: int) -> None:
    """Raises: Refused when a kept value is nested too deeply."""
    if depth > MAX_KEPT_DEPTH:
        raise Refused(TOO_DEEP)


def to_text(node: Node, quote: Callable[[str], str], depth: int = 0) -> str:
    """Compact JSON with the members and number literals as they were. Raises: Refused."""
    check_depth(depth)
    match node:
        case Object():
            members = (f"{quote(key)}:{to_text(value, quote, depth + 1)}" for key, value in node)
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(to_text(value, quote, depth + 1) for value in node) + "]"
        case bool():
            return "true" if node else "false"
        case Number() | int():
            return str(node)
        case str():
            return quote(node)
        case None:
            return "null"
