"""What can be wrong with a JSON body; `str(error)` is the text of Go's decoder.

DecodeError
├── EmptyBody           no value at all
├── TruncatedBody       the body ends within its value
├── UnexpectedEnd       the same of a text within a body
├── MalformedBody       not JSON
├── BodyTooComplex      JSON with more parts than anybody needs
├── TypeMismatch        a value of the wrong kind for its field
└── Refused             a value of the right kind that its type does not accept
"""

from __future__ import annotations


class DecodeError(Exception):
    """Root of what decoding raises."""


class EmptyBody(DecodeError):
    """Nothing but white space."""

    def __init__(self) -> None:
        super().__init__("EOF")


class TruncatedBody(DecodeError):
    """The value has no end."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")


class UnexpectedEnd(DecodeError):
    """A text within the body, which should be JSON, ends within its value, or is empty."""

    def __init__(self) -> None:
        super().__init__("unexpected end of JSON input")


class MalformedBody(DecodeError):
    """`character` cannot stand where it stands; `context` says where that is."""

    def __init__(self, character: int, context: str) -> None:
        super().__init__(f"invalid character {quote_character(character)} {context}")


class BodyTooComplex(DecodeError):
    """Reading the body would take many times its own size of memory."""

    def __init__(self) -> None:
        super().__init__("request body too large")


class TypeMismatch(DecodeError):
    """A `value` (a kind, or `number 1.5`) for a Go type; `struct` and `path` are empty outside of structs."""

    def __init__(self, value: str, go_type: str, struct: str = "", path: tuple[str, ...] = ()) -> None:
        place = f"struct field {struct}.{'.'.join(path)} of" if struct or path else "value of"
        super().__init__(f"json: cannot unmarshal {value} into Go {place} type {go_type}")
        self.value = value
        self.go_type = go_type
        self.path = path

    def within(self, struct: str, path: tuple[str, ...]) -> TypeMismatch:
        """The same as the field `path` of `struct` tells it, whose type decodes itself."""
        return TypeMismatch(self.value, self.go_type, struct, (*path, *self.path))


class Refused(DecodeError):
    """A type that decodes itself does not take the value; the text is its own."""


_ESCAPES = {ord("'"): "\\'", ord('"'): '"', ord("\\"): "\\\\"} | {
    code: f"\\{letter}" for code, letter in zip(b"\a\b\f\n\r\t\v", "abfnrtv", strict=True)
}


def quote_character(code: int) -> str:
    """A byte as the character of that code, in single quotes. # Compat: Go encoding/json quoteChar."""
    character = chr(code)
    if code in _ESCAPES:
        return f"'{_ESCAPES[code]}'"
    if character.isprintable():
        return f"'{character}'"
    return f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'"
