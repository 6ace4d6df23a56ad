"""Go's types for request fields: a dataclass says which, and is decoded as encoding/json would decode the struct.

    @dataclass(slots=True)
    class CopyBody:
        source: str = member(STRING)
        destination: str = member(STRING)

    COPY = Struct("api.CopyRequest", CopyBody)
    body = decode(COPY, parse(data))

Keys match without regard to case, unknown ones are skipped, null leaves a field as it is, the last of equal keys wins.
The first mismatch is remembered and told at the end; a type that decodes itself (`Own`, `Custom`, `OrderedMap`) ends
the decoding at once, and so wins over an earlier mismatch.
Source: Go encoding/json, decode.go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from server.json_decoding.binary import decode_base64
from server.json_decoding.errors import DecodeError, Refused, TypeMismatch
from server.json_decoding.nodes import TOO_DEEP, Node, Number, Object, check_depth, kind_of, to_text

MAX_INT_DIGITS = 20
MAX_EXACT = 2**53
NOT_AN_OBJECT = "Value looks like object, but can't find closing '}' symbol"


class State:
    """How far one decoding has come: the field it is at, and the first mismatch."""

    __slots__ = ("error", "path", "struct")

    def __init__(self) -> None:
        self.struct = ""
        self.path: list[str] = []
        self.error: DecodeError | None = None

    def mismatch(self, value: str, go_type: str) -> None:
        self.save(TypeMismatch(value, go_type, self.struct, tuple(self.path)))

    def save(self, error: DecodeError) -> None:
        if self.error is None:
            self.error = error

    def placed(self, error: DecodeError) -> DecodeError:
        """An error of a type that decodes itself, as the field around it tells it."""
        if isinstance(error, TypeMismatch) and self.path:
            return error.within(self.struct, tuple(self.path))
        return error


class Kind(Protocol):
    """A Go type."""

    @property
    def go_type(self) -> str: ...

    def zero(self) -> Any:
        """What a field holds that the body does not name."""
        ...

    def decode(self, node: Node, state: State, current: Any) -> Any:
        """The value for a node; `current` is what the field holds so far. Raises: DecodeError to end it all."""
        ...


def member(kind: Kind, name: str = "") -> Any:
    """A field of a dataclass that stands for a struct; `name` where the key is not the name of the attribute."""
    return field(default_factory=kind.zero, metadata={"kind": kind, "name": name})


def decode(kind: Kind, node: Node) -> Any:
    """What `json.Unmarshal` makes of the node. Raises: DecodeError."""
    state = State()
    try:
        value = kind.decode(node, state, kind.zero())
    except DecodeError as error:
        raise state.placed(error) from None
    except RecursionError:
        raise Refused(TOO_DEEP) from None  # a type that contains itself, in a body that makes use of it
    if state.error is not None:
        raise state.error
    return value


# --------------------------------------------------------------------------------------------------------------------
# Scalars


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


# --------------------------------------------------------------------------------------------------------------------
# Containers


@dataclass(frozen=True, slots=True)
class Pointer:
    """A field that is None until the body names it, and after null."""

    target: Kind

    @property
    def go_type(self) -> str:
        return self.target.go_type

    def zero(self) -> None:
        return None

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if node is None:
            return None
        return self.target.decode(node, state, self.target.zero() if current is None else current)


@dataclass(frozen=True, slots=True)
class Slice:
    """A list; `name` where Go has a named type."""

    element: Kind
    name: str = ""

    @property
    def go_type(self) -> str:
        return self.name or f"[]{self.element.go_type}"

    def zero(self) -> list[Any]:
        return []

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if isinstance(node, list):
            element = self.element
            if not current:
                return [element.decode(item, state, element.zero()) for item in node]
            # Go decodes a repeated list into the elements that are there.
            return [
                element.decode(item, state, current[i] if i < len(current) else element.zero())
                for i, item in enumerate(node)
            ]
        if node is None:
            return []
        state.mismatch(kind_of(node), self.go_type)
        return current


@dataclass(frozen=True, slots=True)
class Map:
    """A dict with strings as keys."""

    value: Kind

    @property
    def go_type(self) -> str:
        return f"map[string]{self.value.go_type}"

    def zero(self) -> dict[str, Any]:
        return {}

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if isinstance(node, Object):
            return {**current, **{key: self.value.decode(item, state, self.value.zero()) for key, item in node}}
        if node is None:
            return {}
        state.mismatch(kind_of(node), self.go_type)
        return current


@dataclass(frozen=True, slots=True)
class Later:
    """A type that is declared after its first use, because it contains itself."""

    go_type: str
    get: Callable[[], Kind]

    def zero(self) -> Any:
        return self.get().zero()

    def decode(self, node: Node, state: State, current: Any) -> Any:
        return self.get().decode(node, state, current)


@dataclass(frozen=True, slots=True)
class _Member:
    attribute: str
    key: str
    kind: Kind


class Struct:
    """A struct: `go_type` with its package, and the dataclass whose fields were made by `member`.

    A struct without a name is written out: `struct { Type string "json:\\"type\\"" }`.
    """

    def __init__(self, go_type: str, body: type[Any]) -> None:
        self.go_type = go_type
        self._name = "" if go_type.startswith("struct {") else go_type.rpartition(".")[2]
        self._body = body
        members = [
            _Member(f.name, f.metadata["name"] or f.name, f.metadata["kind"])
            for f in dataclasses.fields(body)
            if "kind" in f.metadata
        ]
        self._exact = {m.key: m for m in members}
        self._folded = {_fold(m.key): m for m in members}

    def zero(self) -> Any:
        return self._body()

    def unknown_members(self, node: Node) -> dict[str, Node]:
        """What `decode` skips: the members of an object that are no fields of the struct, but for nulls."""
        if not isinstance(node, Object):
            return {}
        return {k: v for k, v in node if k not in self._exact and _fold(k) not in self._folded and v is not None}

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if not isinstance(node, Object):
            if node is not None:
                state.mismatch(kind_of(node), self.go_type)
            return current
        outer = state.struct
        for key, value in node:
            found = self._exact.get(key) or self._folded.get(_fold(key))
            if found is None:
                continue
            state.struct = self._name
            state.path.append(found.key)
            attribute = found.attribute
            setattr(current, attribute, found.kind.decode(value, state, getattr(current, attribute)))
            state.path.pop()
            state.struct = outer
        return current


def _fold(key: str) -> str:
    """Simple case folding, as far as it leads to ASCII letters."""
    return key.lower().replace("\u017f", "s")


# --------------------------------------------------------------------------------------------------------------------
# Types that decode themselves


@dataclass(frozen=True, slots=True)
class Own:
    """A type with an UnmarshalJSON that decodes `target` by itself, then changes it with `finish`."""

    target: Kind
    name: str
    finish: Callable[[Any], Any] = lambda value: value

    @property
    def go_type(self) -> str:
        return self.name

    def zero(self) -> Any:
        return self.target.zero()

    def decode(self, node: Node, state: State, current: Any) -> Any:
        return self.finish(decode(self.target, node))


@dataclass(frozen=True, slots=True)
class Custom:
    """A type with an UnmarshalJSON of its own; `read` raises DecodeError, and is not asked about null."""

    name: str
    read: Callable[[Node], Any]

    @property
    def go_type(self) -> str:
        return self.name

    def zero(self) -> None:
        return None

    def decode(self, node: Node, state: State, current: Any) -> Any:
        return None if node is None else self.read(node)


@dataclass(frozen=True, slots=True)
class OrderedMap:
    """A map that keeps the order of its keys: a repeated key stays in the place of the first."""

    value: Kind
    name: str

    @property
    def go_type(self) -> str:
        return self.name

    def zero(self) -> dict[str, Any]:
        return {}

    def decode(self, node: Node, state: State, current: Any) -> Any:
        if node is None:
            return {}
        if not isinstance(node, Object):
            raise Refused(NOT_AN_OBJECT)
        return {key: decode(self.value, item) for key, item in node}
