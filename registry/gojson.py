"""JSON and text exactly as Go's encoding/json and fmt write them: pure functions, no I/O; numbers in `gonumbers`.

Blobs and manifests are named by the hash of their bytes, and clients compare replies with the original's, so the form
matters to the byte. orjson writes what it writes as Go does; the rest (floats, broken text, long integers) is here.
"""

from __future__ import annotations

import base64
import functools
import re
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from registry.gonumbers import format_float as format_float  # one of this module's public names
from registry.gonumbers import format_float32, format_g, to_go_numbers

Raw = orjson.Fragment
"""Bytes that are JSON already, to be placed into a larger value as they are."""


@dataclass(frozen=True, slots=True)
class Float32:
    """A number that is a float32 in Go, written in the shortest form that names this float32."""

    value: float


def encode(value: object) -> bytes:
    """Compact JSON with Go's escapes and numbers; mappings keep their order; no newline at the end.

    Beyond JSON's own types: tuple, bytes (base64), array (an array of "f" as float32), Float32, Raw.
    Raises: UnsupportedValue for NaN and infinity; TypeError for any other type.
    # Compat: registry-store-cli 0.1, http-api 2.3; Go encoding/json.
    """
    return _escape(_encode(value, 0))


def encode_sorted(value: object) -> bytes:
    """Like `encode`, with the keys of every mapping sorted bytewise, as Go writes maps."""
    return _escape(_encode(value, orjson.OPT_SORT_KEYS))


def encode_float32(vector: bytes | bytearray | memoryview | array[float]) -> bytes:
    """A JSON array of native float32 values, each in its shortest float32 form.

    Raises: UnsupportedValue for NaN and infinity.
    """
    values = memoryview(vector).cast("B").cast("f")
    if len(values) < 32:
        return b"[" + ",".join(map(format_float32, values)).encode() + b"]"
    import numpy  # here, because a server that makes no embeddings never needs it

    numbers = numpy.asarray(values, dtype=numpy.float32)
    return to_go_numbers(orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY))


def format_value(value: object) -> str:
    """Go's `%v` text: `1e+06`, `<nil>`, `[a b]`, `map[k:v]` with sorted keys.

    # Compat: Go fmt: a float is %g with the shortest digits, in exponent form below 1e-04 and from 1e+06 on.
    """
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return format_g(value)
        case Float32(value=single):
            return format_g(float(format_float32(single)))
        case Mapping():
            return "map[" + " ".join(f"{key}:{format_value(value[key])}" for key in sorted(value)) + "]"
        case list() | tuple() | array():
            return "[" + " ".join(map(format_value, value)) + "]"
        case _:
            return str(value)


def quote(text: str) -> str:
    """Go's `%q` text: in double quotes, with everything that does not print escaped.

    # Compat: Go strconv.Quote.
    """
    return '"' + "".join(map(_quote_character, _well_formed(text))) + '"'


def encode_time(ns_since_epoch: int, *, utc: bool) -> str:
    """RFC 3339 text without trailing zeros in the fraction; the local offset, or `Z` if that is zero or `utc` is set.

    # Compat: http-api 2.3; Go time.RFC3339Nano.
    """
    seconds, ns = divmod(ns_since_epoch, 1_000_000_000)
    date_time, offset = _second_text(seconds, utc)
    return f"{date_time}.{ns:09d}".rstrip("0") + offset if ns else date_time + offset


# Encoding: if a value is plain throughout, orjson alone writes it. If not, its parts are looked at one by one: without
# recursion and each part once, because requests decide how deep a value is.

_SCALARS = frozenset({str, int, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_PLAIN = _SCALARS | _CONTAINERS


class _Literal(bytes):
    """Punctuation or a key, ready to be written."""


def _encode(value: object, option: int) -> bytes:
    if _is_plain(value):
        try:
            return orjson.dumps(value, option=option)
        except TypeError:
            pass  # a lone surrogate, an integer beyond 64 bits, more than 254 levels, a key that is no string
    pieces: list[bytes] = []
    pending = [value]
    while pending:
        part = pending.pop()
        if type(part) is _Literal:
            pieces.append(part)
        elif (plain := _encode_flat(part, option)) is not None:
            pieces.append(plain)
        elif isinstance(part, Mapping):
            pending += reversed(_spell_mapping(part, option))
        elif isinstance(part, list | tuple) and set(map(type, part)) != {float}:
            pending += reversed(_spell_sequence(part))
        else:
            pieces.append(_encode_special(part))
    return b"".join(pieces)


def _is_plain(value: object) -> bool:
    if type(value) in _SCALARS:
        return True
    pending = [value]
    while pending:
        parts = _parts(pending.pop())
        kinds = set(map(type, parts))
        if not kinds <= _SCALARS:
            if not kinds <= _PLAIN:
                return False
            pending += [part for part in parts if type(part) in _CONTAINERS]
    return True


def _encode_flat(value: object, option: int) -> bytes | None:
    """The text of a plain value without containers in it, otherwise None."""
    if set(map(type, _parts(value))) <= _SCALARS:
        try:
            return orjson.dumps(value, option=option)
        except TypeError:
            pass  # as above
    return None


def _parts(value: object) -> Iterable[object]:
    kind = type(value)
    if kind is dict:
        return value.values()  # type: ignore[attr-defined,no-any-return]  # narrowed by the exact type
    if kind is list or kind is tuple:
        return value  # type: ignore[return-value]  # narrowed by the exact type
    return (value,)


def _spell_mapping(value: Mapping[object, object], option: int) -> list[object]:
    members = []
    for key, member in value.items():
        if not isinstance(key, str):
            raise TypeError(f"json: unsupported type of key: {type(key).__name__}")
        members.append((_well_formed(key), member))
    if option & orjson.OPT_SORT_KEYS:
        members.sort(key=lambda member: member[0])  # by code point, which is the order of the UTF-8 bytes
    parts: list[object] = [_Literal(b"{")]
    for index, (key, member) in enumerate(members):
        parts += [_Literal((b"," if index else b"") + orjson.dumps(key) + b":"), member]
    return [*parts, _Literal(b"}")]


def _spell_sequence(values: Sequence[object]) -> list[object]:
    parts: list[object] = [_Literal(b"[")]
    for index, value in enumerate(values):
        parts += [_Literal(b","), value] if index else [value]
    return [*parts, _Literal(b"]")]


def _encode_special(value: object) -> bytes:
    """What orjson cannot write as Go does, and has no parts to be looked at."""
    match value:
        case str():
            return orjson.dumps(_well_formed(value))
        case int():
            return b"%d" % value
        case float():
            return format_float(value).encode()
        case Float32(value=single):
            return format_float32(single).encode()
        case list() | tuple():
            return to_go_numbers(orjson.dumps(value))
        case bytes() | bytearray():
            return orjson.dumps(base64.b64encode(value).decode())
        case array():
            return encode_float32(value) if value.typecode == "f" else _encode(value.tolist(), 0)
        case Raw():
            return orjson.dumps(value)
        case _:
            raise TypeError(f"json: unsupported type: {type(value).__name__}")


def _escape(text: bytes) -> bytes:
    """Only strings can contain these characters, so the whole text may be searched."""
    if b"<" in text:
        text = text.replace(b"<", b"\\u003c")
    if b">" in text:
        text = text.replace(b">", b"\\u003e")
    if b"&" in text:
        text = text.replace(b"&", b"\\u0026")
    if b"\xe2\x80" in text:
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return text


_SURROGATE = re.compile("[\ud800-\udfff]")


def _well_formed(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


# Text and time.

_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def _quote_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@functools.lru_cache(maxsize=64)
def _second_text(seconds: int, utc: bool) -> tuple[str, str]:
    """Date and time of one second, and the offset; a stream asks for the same second many times."""
    moment = time.gmtime(seconds) if utc else time.localtime(seconds)
    text = f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}"
    text += f"T{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}"
    minutes = moment.tm_gmtoff // 60
    if utc or minutes == 0:
        return text, "Z"
    return text, f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
