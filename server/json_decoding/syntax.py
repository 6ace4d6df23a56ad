"""JSON's grammar as Go's scanner walks it: the same nodes as `parse.py` makes, or the exact error.

Slower than `parse.py`, so it is asked only where that one gives up. It works on bytes, as Go does; strings and numbers
are matched whole, and looked at byte by byte only to find what is wrong with them.
Source: Go encoding/json, scanner.go and Decoder.readValue.
"""

from __future__ import annotations

import codecs
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed leaves it out

from server.json_decoding.errors import DecodeError, EmptyBody, MalformedBody, TruncatedBody, UnexpectedEnd
from server.json_decoding.nodes import Node, Number, Object

MAX_DEPTH = 10_000

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING_START = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][+-]?[0-9]++)?")
_LITERALS: dict[int, tuple[bytes, Node]] = {
    ord("t"): (b"true", True),
    ord("f"): (b"false", False),
    ord("n"): (b"null", None),
}
_HEX = frozenset(b"0123456789abcdefABCDEF")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_exactly(data: bytes | bytearray) -> Node:
    """The first JSON value of the body; what follows it is not looked at.

    Raises: EmptyBody, TruncatedBody, MalformedBody.
    """
    scanner = _Scanner(data)
    if scanner.position_after_space() == len(data):
        raise EmptyBody
    return scanner.scan()


def parse_whole(data: bytes | bytearray) -> Node:
    """The only JSON value of a text that stands within a body. # Compat: Go json.Unmarshal, where a body has a Decoder.

    Raises: UnexpectedEnd, MalformedBody.
    """
    scanner = _Scanner(data)
    try:
        node = scanner.scan()
    except TruncatedBody as error:
        raise UnexpectedEnd from error
    position = scanner.position_after_space()
    if position < len(data):
        raise MalformedBody(data[position], "after top-level value")
    return node


def decode_text(data: bytes | bytearray) -> str:
    """UTF-8, with one U+FFFD for every byte that does not belong, as Go's decoder does it."""
    return data.decode("utf-8", REPLACE_BYTES)


class _Opened:
    """Said instead of a value: a container was opened."""


_OPENED = _Opened()


class _OpenArray:
    closing_byte = 0x5D
    after_value = "after array element"

    def __init__(self) -> None:
        self.items: list[Node] = []

    def add(self, value: Node) -> None:
        self.items.append(value)

    def close(self) -> Node:
        return self.items


class _OpenObject:
    closing_byte = 0x7D
    after_value = "after object key:value pair"

    def __init__(self) -> None:
        self.members: list[tuple[str, Node]] = []
        self.key = ""  # of the value that comes next

    def add(self, value: Node) -> None:
        self.members.append((self.key, value))

    def close(self) -> Node:
        return Object(self.members)


class _Scanner:
    """Reads one value, keeping the open containers in a list instead of on the call stack."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._position = 0
        self._open: list[_OpenArray | _OpenObject] = []

    def scan(self) -> Node:
        """The value at the position."""
        while True:
            begun = self._begin_value(self._next())
            if isinstance(begun, _Opened):
                continue
            value = begun
            while self._open:
                container = self._open[-1]
                container.add(value)
                if not self._ends(container):
                    break
                value = self._open.pop().close()
            else:
                return value

    # ---- where a byte is allowed -----------------------------------------------------------------------------------

    def position_after_space(self) -> int:
        match = _SPACE.match(self._data, self._position)
        assert match is not None
        self._position = match.end()
        return self._position

    def _next(self) -> int:
        """The next byte that is no space, not yet consumed. Raises: TruncatedBody."""
        if self.position_after_space() == len(self._data):
            raise TruncatedBody
        return self._data[self._position]

    def _begin_value(self, byte: int) -> Node | _Opened:
        """A whole value, or word that a container was opened and its first member is next."""
        match byte:
            case 0x22:  # "
                return self._string()
            case 0x7B | 0x5B:  # { [
                return self._open_container(byte)
            case 0x2D | 0x30 | 0x31 | 0x32 | 0x33 | 0x34 | 0x35 | 0x36 | 0x37 | 0x38 | 0x39:
                return self._number()
            case _ if byte in _LITERALS:
                return self._literal(*_LITERALS[byte])
            case _:
                raise MalformedBody(byte, "looking for beginning of value")

    def _open_container(self, byte: int) -> Node | _Opened:
        if len(self._open) >= MAX_DEPTH:
            raise MalformedBody(byte, "exceeded max depth")
        self._position += 1
        container = _OpenObject() if byte == 0x7B else _OpenArray()
        if self._next() == container.closing_byte:
            self._position += 1
            return container.close()
        if isinstance(container, _OpenObject):
            container.key = self._key()
        self._open.append(container)
        return _OPENED

    def _key(self) -> str:
        byte = self._next()
        if byte != 0x22:
            raise MalformedBody(byte, "looking for beginning of object key string")
        key = self._string()
        byte = self._next()
        if byte != 0x3A:
            raise MalformedBody(byte, "after object key")
        self._position += 1
        return key

    def _ends(self, container: _OpenArray | _OpenObject) -> bool:
        """Whether the container ends after a value; otherwise the next value may be read."""
        byte = self._next()
        if byte not in (0x2C, container.closing_byte):
            raise MalformedBody(byte, container.after_value)
        self._position += 1
        if byte == container.closing_byte:
            return True
        if isinstance(container, _OpenObject):
            container.key = self._key()
        return False

    # ---- scalars ---------------------------------------------------------------------------------------------------

    def _string(self) -> str:
        match = _STRING_START.match(self._data, self._position)
        assert match is not None
        end = match.end()
        if self._data[end : end + 1] != b'"':
            raise self._string_error(end)
        inner = self._data[self._position + 1 : end]
        self._position = end + 1
        text = decode_text(inner)
        if b"\\" not in inner:
            return text
        return _SURROGATE.sub("\ufffd", scanstring(text + '"', 0, True)[0])

    def _string_error(self, position: int) -> DecodeError:
        data = self._data
        if position == len(data):
            return TruncatedBody()
        if data[position] != 0x5C:
            return MalformedBody(data[position], "in string literal")
        if position + 1 == len(data):
            return TruncatedBody()
        if data[position + 1] != 0x75:
            return MalformedBody(data[position + 1], "in string escape code")
        for byte in data[position + 2 : position + 6]:
            if byte not in _HEX:
                return MalformedBody(byte, "in \\u hexadecimal character escape")
        return TruncatedBody()

    def _number(self) -> Number:
        data, start = self._data, self._position
        match = _NUMBER.match(data, start)
        if match is None:
            raise self._error_at(start + 1, "in numeric literal")
        end = match.end()
        following = data[end : end + 1]
        if following == b"." and match[1] is None and match[2] is None:
            raise self._error_at(end + 1, "after decimal point in numeric literal")
        if following in (b"e", b"E") and match[2] is None:
            has_sign = data[end + 1 : end + 2] in (b"+", b"-")
            raise self._error_at(end + 1 + has_sign, "in exponent of numeric literal")
        self._position = end
        return Number(match[0].decode("ascii"))

    def _literal(self, name: bytes, value: Node) -> Node:
        for i, expected in enumerate(name):
            position = self._position + i
            if position == len(self._data):
                raise TruncatedBody
            if self._data[position] != expected:
                raise MalformedBody(self._data[position], f"in literal {name.decode()} (expecting '{chr(expected)}')")
        self._position += len(name)
        return value

    def _error_at(self, position: int, context: str) -> DecodeError:
        return MalformedBody(self._data[position], context) if position < len(self._data) else TruncatedBody()


REPLACE_BYTES = "puna.replace_bytes"


def _replace_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(REPLACE_BYTES, _replace_bytes)
