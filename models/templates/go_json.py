"""The JSON and text forms that prompts contain, as Go prints them (prompting.md 0.3, 0.4).

Values are those of a request: every number is a float64, whatever Python calls it; dicts are in the order in which
they print (`schema.py` has sorted the free-form ones).
"""

from __future__ import annotations

import re
from typing import Any

from registry.gojson import encode, format_value, quote

_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')
_HTML = re.compile(r"\\\\|\\u00(?:3c|3e|26)")
_HTML_CHARACTERS = {r"\u003c": "<", r"\u003e": ">", r"\u0026": "&"}
_MAX_EXACT_INT = 2**53


def compact(value: Any) -> str:
    """J: no spaces, HTML characters escaped."""
    return encode(_floats(value)).decode()


def spaced(value: Any) -> str:
    """JS: J with a space after every colon and comma."""
    return _spread(compact(value))


def spaced_raw(value: Any) -> str:
    """JSN: JS with `<`, `>` and `&` as they are; for a value without ordered maps in it."""
    return _HTML.sub(lambda match: _HTML_CHARACTERS.get(match[0], match[0]), spaced(value))


def spaced_raw_function(function: dict[str, Any]) -> str:
    """JSN of the function of a tool; its `properties` are an ordered map, which keeps its HTML escapes."""
    members = []
    for key, value in function.items():
        text = _spaced_raw_parameters(value) if key == "parameters" else spaced_raw(value)
        members.append(f"{spaced_raw(key)}: {text}")
    return "{" + ", ".join(members) + "}"


def _spaced_raw_parameters(parameters: dict[str, Any]) -> str:
    encoders = {"properties": spaced}
    members = [f"{spaced_raw(key)}: {encoders.get(key, spaced_raw)(value)}" for key, value in parameters.items()]
    return "{" + ", ".join(members) + "}"


def indented(value: Any, margin: str = "") -> str:
    """JI: four spaces a level, one member per line."""
    inner = margin + "    "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{compact(key)}: {indented(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + margin + "}"
    if isinstance(value, (list, tuple)) and value:
        return "[\n" + ",\n".join(inner + indented(item, inner) for item in value) + "\n" + margin + "]"
    return compact(value)


def python_like(value: Any) -> str:
    """PYJ (prompting.md 6.9): spaced, strings quoted as Go does, no HTML escapes."""
    match value:
        case str():
            return quote(value)
        case dict():
            return "{" + ", ".join(f"{quote(key)}: {python_like(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(python_like, value)) + "]"
        case _:
            return compact(value)


def plain(value: Any) -> str:
    """Go's `%v` of a value of a request."""
    return format_value(_all_floats(value))


def sorted_keys(value: Any) -> Any:
    """The value with the keys of all maps in it sorted, as Go prints plain maps."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(item) for item in value] if isinstance(value, (list, tuple)) else value


def _spread(text: str) -> str:
    parts = _STRING.split(text)
    parts[::2] = [part.replace(":", ": ").replace(",", ", ") for part in parts[::2]]
    return "".join(parts)


def _floats(value: Any) -> Any:
    """The value with integers that a float64 does not hold made into floats; the value itself if there are none."""
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_floats(item) for item in value]
    return float(value) if type(value) is int and abs(value) > _MAX_EXACT_INT else value


def _all_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_all_floats(item) for item in value]
    return float(value) if type(value) is int else value
