"""What is wrong with a schema or a grammar, and where, in words for the one who wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

MAX_CHARS = 500
_MAX_PARTS = 200
"""Parts of a schema that are tried one by one."""

_POSITION = re.compile(r"^(?:at )?(\d+)\((\d+)\): ")
_REGEX_ERROR = re.compile(r"regex parse error:\n(?P<indent> +).*\n(?P<mark> +\^+)\nerror: (?P<what>.+)")
_CIRCULAR = "NoExtensionBias"
ENDLESS = "it refers to itself without end, or nothing can satisfy it"


def explain(kind: str, error: str) -> str:
    """llguidance's text in one line: positions in words, and only where they are those of what the client wrote."""
    if _CIRCULAR in error:
        return ENDLESS
    said = re.split(r"\n\s*\d+ \|", error.strip())[0].replace("<non-verbose/>", "")
    if found := _REGEX_ERROR.search(error):
        column = len(found["mark"].rstrip("^")) - len(found["indent"]) + 1
        said = f"{found['what']} at character {column}" if kind == "regex" else found["what"]
    elif kind == "lark":
        said = _POSITION.sub(r"line \1, column \2: ", said)
    else:
        said = _POSITION.sub("", said).removeprefix("failed to compile JSON schema: ")
    return " ".join(said.split())[:MAX_CHARS]


def place_in_schema(schema: dict[str, Any], fails: Callable[[dict[str, Any]], bool]) -> str:
    """The innermost part of a schema that fails by itself, as a JSON pointer; empty if it is only the whole that does.

    The definitions that parts may refer to stay with them.
    """
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    for n, (pointer, part) in enumerate(_parts(schema, "#")):
        if n >= _MAX_PARTS:
            break
        if pointer != "#" and fails(shared | part if "/$defs/" not in pointer else part):
            return pointer
    return ""


def _parts(value: Any, pointer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects within a schema that may be schemas themselves, inner ones first."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("enum", "const", "default", "examples"):
                yield from _parts(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        if not pointer.endswith(("/properties", "/$defs", "/definitions", "/patternProperties")):
            yield pointer, value
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _parts(item, f"{pointer}/{n}")
