"""Go's view of a value: what kind it is, whether it is true, what its type is called.

`None` is a nil interface (also what a missing key gives), `bool`, `int`, `float`, `str` are Go's bool, int, float64 and
string, `list` a slice, `dict` a map with string keys. Structs, and slices and maps that print in their own way, are
the classes below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from models.templates.go_json import compact

Value = Any


class Struct:
    """A Go struct. Fields are made when they are asked for: most templates use few of them."""

    go_type: ClassVar[str] = "struct"
    fields: ClassVar[Mapping[str, Callable[[Any], Value]]] = {}
    methods: ClassVar[Mapping[str, Callable[[Any], Value]]] = {}

    def to_json(self) -> Value:
        """What `json` encodes: a JSON value, its objects in the order of the fields."""
        return {name: to_json(read(self)) for name, read in self.fields.items()}

    def text(self) -> str | None:
        """How it prints, if it has a String method."""
        return None


class TextList(list[Any]):
    """A slice that prints as its JSON."""

    def to_json(self) -> Value:
        return [to_json(item) for item in self]

    def text(self) -> str:
        return compact(self.to_json())


class TextMap(dict[str, Any]):
    """A map that prints as its JSON, keys sorted."""

    def text(self) -> str:
        return compact(to_json(self))


def to_json(value: Value) -> Value:
    """A value as the encoder takes it: structs as objects, maps sorted."""
    if isinstance(value, (Struct, TextList)):
        return value.to_json()
    if isinstance(value, dict):
        return {key: to_json(value[key]) for key in sorted(value)}
    return [to_json(item) for item in value] if isinstance(value, list) else value


def is_true(value: Value) -> bool:
    """Go's truth: not zero, not empty; a struct always."""
    return isinstance(value, Struct) or bool(value)


_TYPE_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    type(None): "<nil>",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    TextList: "template.templateTools",
    TextMap: "template.templateArgs",
}


def type_name(value: Value) -> str:
    """The name of the value's type in an error."""
    return value.go_type if isinstance(value, Struct) else _TYPE_NAMES.get(type(value), type(value).__name__)


_KINDS = {bool: "bool", int: "int", float: "float", str: "string"}


def basic_kind(value: Value) -> str:
    """What values may be compared with each other; empty for what has no order or equality."""
    return _KINDS.get(type(value), "")
