"""What is wrong with a schema or a grammar, and where, in words for the one who wrote it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from models.errors import InvalidConstraint

MAX_CHARS = 500
_MAX_POINTER_CHARS = 200
_MAX_PARTS = 1000
"""Parts of a schema that are tried one by one."""
_MAX_SEARCH_S = 1.0
"""Of processor time."""
_MAX_WAIT_S = 2.0
"""With all that is tried in processes of its own."""

_POSITION = re.compile(r"^(?:at )?(\d+)\((\d+)\): ")
_REGEX_ERROR = re.compile(r"regex parse error:\n(?P<indent> +).*\n(?P<mark> +\^+)\nerror: (?P<what>.+)")
_LOOKAROUND = "lookarounds not supported"
_PLACELESS_NAME = re.compile(r'unknown grammar (@\w+)|failed to parse "(%json)"')
_ELEMENT = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_CHAR = re.compile(r"\\.|.", re.DOTALL)
_CIRCULAR = "NoExtensionBias"
ENDLESS = "it refers to itself without end, or nothing can satisfy it"
TOO_COSTLY = "it takes too much time or memory"

_WHOLE = {"json_schema": "#", "gbnf": "rule root", "lark": "rule start"}
"""Where a mistake is that no smaller part is to blame for."""


class GrammarError(ValueError):
    """What is wrong in a grammar, with the line and the column, counted from 1, where it is."""

    def __init__(self, text: str, at: int, what: str) -> None:
        line = text.count("\n", 0, at) + 1
        super().__init__(f"line {line}, column {at - text.rfind(chr(10), 0, at)}: {what}")


def refusal(kind: str, text: str, error: str, *, place: str = "") -> InvalidConstraint:
    """The answer to a constraint that cannot be followed, by llguidance's error. `place`: a pointer into a schema."""
    said = explain(kind, error)
    if kind == "json_schema":
        shown = place if len(place) <= _MAX_POINTER_CHARS else f"{place[:_MAX_POINTER_CHARS]}…"
        return InvalidConstraint(f"invalid {kind} at {shown or _WHOLE[kind]}: {said}")
    if kind == "calls":  # what is wrong in it is what a client wrote, but its lines are ours
        return InvalidConstraint(f"a tool's parameters cannot be enforced: {said}")
    if kind == "regex":
        at = _character(text, error)
        found = f"invalid {kind}: {said} at character {at}"
        return InvalidConstraint(found if at else f"invalid {kind} at characters 1 to {len(text)}: {said}")
    if not said.startswith("line "):
        said = f"{_place_of_name(text, error) or _WHOLE.get(kind, kind)}: {said}"
    return InvalidConstraint(f"invalid {kind}: {said}")


def explain(kind: str, error: str) -> str:
    """llguidance's text in one line: positions in words, and only where they are those of what the client wrote."""
    if _CIRCULAR in error:
        return ENDLESS
    position = _POSITION.match(error)
    said = _POSITION.sub("", re.split(r"\n\s*\d+ \|", error.strip())[0].replace("<non-verbose/>", ""))
    if found := _REGEX_ERROR.search(error):
        said = found["what"]
        if kind == "lark":
            said += f" at character {_column(found)} of the expression"
    elif _LOOKAROUND in error:
        said = "assertions (^ and $ within, \\b and the like) are not supported"
    if kind == "lark" and position:
        said = f"line {position[1]}, column {position[2]}: {said}"
    return " ".join(said.removeprefix("failed to compile JSON schema: ").split())[:MAX_CHARS]


def _column(found: re.Match[str]) -> int:
    return len(found["mark"].rstrip("^")) - len(found["indent"]) + 1


def _character(regex: str, error: str) -> int | None:
    """Which character of an expression is to blame, counted from 1; None if it is only the whole that is."""
    if found := _REGEX_ERROR.search(error):
        n_left = _column(found) - 1
        for element in _CHAR.finditer(regex):
            n_left -= 2 if element[0] in "/\n" else len(element[0])  # it counts what they were turned into
            if n_left < 0:
                return element.start() + 1
        return max(len(regex), 1)
    if _LOOKAROUND in error:
        return next((at + 1 for at in _assertions(regex)), None)
    return None


def _assertions(regex: str) -> Iterator[int]:
    """The places of those that are supported nowhere, or not here."""
    for found in _ELEMENT.finditer(regex):
        is_edge = (found[0] == "^" and found.start() == 0) or (found[0] == "$" and found.end() == len(regex))
        if found[0] in ("^", "$", "\\b", "\\B", "\\A", "\\z", "\\<", "\\>") and not is_edge:
            yield found.start()


def _place_of_name(text: str, error: str) -> str:
    """Where the thing stands that an error without a position names; empty if it names none."""
    found = _PLACELESS_NAME.search(error)
    at = text.find(found[1] or found[2]) if found else -1
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}" if at >= 0 else ""


def place_in_schema(schema: dict[str, Any], fails: Callable[[dict[str, Any]], bool]) -> str:
    """The innermost part of a schema that fails by itself, as a JSON pointer; `#` if it is only the whole that does.

    The definitions that parts may refer to stay with them.
    """
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    until_cpu, until = time.thread_time() + _MAX_SEARCH_S, time.monotonic() + _MAX_WAIT_S
    for n, (pointer, part) in enumerate(_parts(schema, "#")):
        if n >= _MAX_PARTS or time.thread_time() > until_cpu or time.monotonic() > until:
            break
        if pointer != "#" and fails(shared | part if "/$defs/" not in pointer else part):
            return pointer
    return "#"


_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")


def _parts(value: Any, pointer: str, *, is_map: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects within a schema that may be schemas themselves, inner ones first. `is_map`: a map of schemas."""
    if isinstance(value, dict):
        for key, item in value.items():
            if is_map or key not in ("enum", "const", "default", "examples"):
                place = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                yield from _parts(item, place, is_map=not is_map and key in _MAPS)
        if not is_map:
            yield pointer, value
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _parts(item, f"{pointer}/{n}")
