"""How values print: Go's fmt for `%v`, and its Print functions."""

from __future__ import annotations

from collections.abc import Iterable

from models.templates.errors import TemplateLimitExceeded
from models.templates.go.values import Struct, TextList, TextMap, Value
from registry.gojson import format_value

MAX_CHARS = 2_000_000
"""The longest text that one call may make; more would exceed what any template may write."""


def text_of(value: Value) -> str:
    """`%v`."""
    match value:
        case str():
            return value
        case Struct():
            text = value.text()
            return text if text is not None else "{" + " ".join(text_of(f(value)) for f in value.fields.values()) + "}"
        case TextList() | TextMap():
            return value.text()
        case list():
            return "[" + " ".join(map(text_of, value)) + "]"
        case dict():
            return "map[" + " ".join(f"{key}:{text_of(value[key])}" for key in sorted(value)) + "]"
        case _:
            return format_value(value)


def sprint(values: Iterable[Value]) -> str:
    """`print`: spaces only between neighbours that are both no strings."""
    pieces: list[str] = []
    was_string = True
    n_left = MAX_CHARS
    for value in values:
        is_string = isinstance(value, str)
        pieces.append(("" if was_string or is_string else " ") + text_of(value))
        was_string = is_string
        n_left -= len(pieces[-1])
        if n_left < 0:
            raise TemplateLimitExceeded("template output is too long")
    return "".join(pieces)


def sprintln(values: Iterable[Value]) -> str:
    """`println`: always a space between, a newline at the end."""
    spaced = [part for value in values for part in (" ", text_of(value))]
    return sprint(spaced[1:]) + "\n"
