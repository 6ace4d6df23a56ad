"""Go's types of single values, and JSON that is kept as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from server.json_decoding.binary import decode_base64
from server.json_decoding.errors import Refused
from server.json_decoding.kinds import State
from server.json_decoding.nodes import Node, Number, Object, check_depth, kind_of, to_text

MAX_INT_DIGITS = 20
MAX_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class _String:
    go_type: str = "string"

    def zero(self) -> str:
        return ""

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if type(node) is str:
            return node
        if node is not None:
            state.mismatch(kind_of(node), self.go_type)
        return current


@dataclass(frozen=True, slots=True)
class _Bool:
    go_type: str = "bool"

    def zero(self) -> bool:
        return False

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if isinstance(node, bool):
            return node
        if node is not None:
            state.mismatch(kind_of(node), self.go_type)
        return current


@dataclass(frozen=True, slots=True)
class _Int:
    go_type: str = "int"
    minimum: int = -(2**63)
    maximum: int = 2**63 - 1

    def zero(self) -> int:
        return 0

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if type(node) is int:
            value: int | None = node
        elif isinstance(node, Number):
            is_integer = len(node) <= MAX_INT_DIGITS and node.lstrip("-").isdecimal()
            value = int(node) if is_integer else None
        else:
            if node is not None:
                state.mismatch(kind_of(node), self.go_type)
            return current
        if value is None or not self.minimum <= value <= self.maximum:
            state.mismatch(f"number {node}", self.go_type)
            return current
        return value


@dataclass(frozen=True, slots=True)
class _Float:
    go_type: str = "float64"
    limit: float = float("inf")
    """Numbers from here on are out of range."""

    def zero(self) -> float:
        return 0.0

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if isinstance(node, Number) or type(node) is int:
            value = to_float64(node)
            if value is not None and abs(value) < self.limit:
                return value
            state.mismatch(f"number {node}", self.go_type)
        elif node is not None:
            state.mismatch(kind_of(node), self.go_type)
        return current


@dataclass(frozen=True, slots=True)
class Bytes:
    """A slice of bytes: base64 text (or, in Go, a list of numbers up to 255)."""

    go_type: str = "[]uint8"

    def zero(self) -> bytes:
        return b""

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if isinstance(node, list):
            return bytes(_BYTE.decode(item, state, 0) for item in node)
        if type(node) is not str:
            if node is not None:
                state.mismatch(kind_of(node), self.go_type)
                return current
            return b""
        try:
            return decode_base64(node)
        except Refused as error:
            state.save(error)
            return current


@dataclass(frozen=True, slots=True)
class _Any:
    go_type: str = "interface {}"

    def zero(self) -> None:
        return None

    def decode(self, node: Node, state: State, current: Any) -> Any:
        return _plain(node, state, 0)


def _plain(node: Node, state: State, depth: int) -> Any:
    """Python's own values. A number is what its float64 is: an int if that has no fraction and is exact."""
    check_depth(depth)
    match node:
        case bool():
            return node
        case Number() | int():
            value = to_float64(node)
            if value is None:
                state.mismatch(f"number {node}", "float64")
                return None
            is_exact = value.is_integer() and abs(value) <= MAX_EXACT and not (value == 0 and str(node).startswith("-"))
            return int(value) if is_exact else value
        case Object():
            return {key: _plain(item, state, depth + 1) for key, item in node}
        case list():
            return [_plain(item, state, depth + 1) for item in node]
        case _:
            return node


def to_float64(number: Number | int) -> float | None:
    """None for a number beyond the range of float64."""
    try:
        value = float(number)
    except OverflowError:
        return None
    return None if abs(value) == float("inf") else value


@dataclass(frozen=True, slots=True)
class _Raw:
    """JSON kept as text (compact); empty for null and where the field is absent."""

    go_type: str = "json.RawMessage"

    def zero(self) -> bytes:
        return b""

    def decode(self, node: Node, state: State, current: Any) -> Any:
        return b"" if node is None else to_text(node, _quote).encode()


def _quote(text: str) -> str:
    return orjson.dumps(text).decode()


class Missing:
    """Said of a field that the body does not name, where that is not the same as null."""


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class _Unread:
    """JSON whose type is known only when other fields are read: the node itself, or MISSING."""

    go_type: str = "json.RawMessage"

    def zero(self) -> Missing:
        return MISSING

    def decode(self, node: Node, state: State, current: Any) -> Any:
        return node


STRING = _String()
BOOL = _Bool()
INT = _Int()
FLOAT64 = _Float()
FLOAT32 = _Float("float32", limit=2.0**128 - 2.0**103)
ANY = _Any()
RAW = _Raw()
UNREAD = _Unread()
_BYTE = _Int("uint8", 0, 255)
