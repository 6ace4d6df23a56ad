"""Go's types that are made of others, and those that decode themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.json_decoding.errors import Refused
from server.json_decoding.kinds import Kind, State, decode
from server.json_decoding.nodes import Node, Object, kind_of

NOT_AN_OBJECT = "Value looks like object, but can't find closing '}' symbol"


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


# ---- types that decode themselves --------------------------------------------------------------------------------


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
