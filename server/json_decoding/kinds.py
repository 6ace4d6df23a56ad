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

from dataclasses import field
from typing import Any, Protocol

from server.json_decoding.errors import DecodeError, Refused, TypeMismatch
from server.json_decoding.nodes import TOO_DEEP, Node


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
