"""What a template can call: Go's builtins and Ollama's additions; `and` and `or`, which stop early, are half here only.

Source: Go, text/template/funcs.go; prompting.md 1.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from urllib.parse import quote_plus

from models.templates.go.comparison import equal, greater, greater_or_equal, less, less_or_equal, unequal
from models.templates.go.errors import CallError
from models.templates.go.printf import sprintf
from models.templates.go.printing import sprint, sprintln
from models.templates.go.values import Struct, Value, is_true, to_json, type_name
from models.templates.go_json import compact

SHORT_CIRCUIT = frozenset({"and", "or"})


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function, how many arguments it takes, and which of them must be strings (all, if `only_text`)."""

    call: Callable[..., Value]
    n_least: int = 0
    n_most: int | None = None
    n_text: int = 0
    only_text: bool = False


# ---- sequences and maps


def _len(value: Value) -> int:
    if value is None:
        raise CallError("len of nil pointer")
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (list, dict)):
        return len(value)
    raise CallError(f"len of type {type_name(value)}")


def _index(value: Value, *keys: Value) -> Value:
    if value is None:
        raise CallError("index of untyped nil")
    for key in keys:
        value = _index_one(value, key)
    return value


def _index_one(value: Value, key: Value) -> Value:
    if isinstance(value, dict):
        if not isinstance(key, str):
            raise CallError(f"value has type {type_name(key)}; should be string")
        return value.get(key)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return data[_position(key, len(data) - 1)]
    if isinstance(value, list):
        return value[_position(key, len(value) - 1)]
    if value is None:
        raise CallError("index of nil pointer")
    raise CallError(f"can't index item of type {type_name(value)}")


def _position(key: Value, last: int) -> int:
    if key is None:
        raise CallError("cannot index slice/array with nil")
    if type(key) is not int:
        raise CallError(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key <= last:
        raise CallError(f"index out of range: {key}")
    return key


def _slice(value: Value, *ends: Value) -> Value:
    if value is None:
        raise CallError("slice of untyped nil")
    if len(ends) > 3:
        raise CallError(f"too many slice indexes: {len(ends)}")
    if not isinstance(value, (str, list)):
        raise CallError(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(ends) == 3:
        raise CallError("cannot 3-index slice a string")
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    places = [_position(end, len(data)) for end in ends]
    low, high = [*places, *[0, len(data)][len(places) :]][:2]
    if low > high:
        raise CallError(f"invalid slice index: {low} > {high}")
    part = data[low:high]
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else part


# ---- texts

_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SCRIPT = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _html(*values: Value) -> str:
    return _joined(values).translate(_HTML)


def _js(*values: Value) -> str:
    return "".join(
        _SCRIPT.get(c) or (c if c.isprintable() or c == "\x7f" else f"\\u{ord(c):04X}") for c in _joined(values)
    )


def _urlquery(*values: Value) -> str:
    return quote_plus(_joined(values), safe="", errors="surrogatepass")


def _joined(values: tuple[Value, ...]) -> str:
    return sprint("<no value>" if value is None else value for value in values)


def _call(value: Value, *_: Value) -> Value:
    if value is None:
        raise CallError("call of nil")
    raise CallError(f"non-function of type {type_name(value)}")


# ---- Ollama's


def _typescript(value: Value) -> str:
    method = value.methods.get("ToTypeScriptType") if isinstance(value, Struct) else None
    return str(method(value)) if method else "any"


def builtins(today: Callable[[], date] = date.today) -> Mapping[str, Builtin]:
    """All functions by name; `today` gives the date that templates print."""
    return MappingProxyType(
        {
            "and": Builtin(is_true, 1),
            "or": Builtin(is_true, 1),
            "not": Builtin(lambda value: not is_true(value), 1, 1),
            "eq": Builtin(equal, 1),
            "ne": Builtin(unequal, 2, 2),
            "lt": Builtin(less, 2, 2),
            "le": Builtin(less_or_equal, 2, 2),
            "gt": Builtin(greater, 2, 2),
            "ge": Builtin(greater_or_equal, 2, 2),
            "len": Builtin(_len, 1, 1),
            "index": Builtin(_index, 1),
            "slice": Builtin(_slice, 1),
            "print": Builtin(lambda *values: sprint(values)),
            "printf": Builtin(lambda layout, *values: sprintf(layout, values), 1, None, 1),
            "println": Builtin(lambda *values: sprintln(values)),
            "html": Builtin(_html),
            "js": Builtin(_js),
            "urlquery": Builtin(_urlquery),
            "call": Builtin(_call, 1),
            "json": Builtin(lambda value: compact(to_json(value)), 1, 1),
            "currentDate": Builtin(lambda *_: today().isoformat(), only_text=True),
            "yesterdayDate": Builtin(lambda *_: (today() - timedelta(days=1)).isoformat(), only_text=True),
            "toTypeScriptType": Builtin(_typescript, 1, 1),
        }
    )


FUNCTION_NAMES = frozenset(builtins())
