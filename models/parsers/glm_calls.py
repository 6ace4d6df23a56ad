"""The body of a GLM call: a name, then keys and values in elements of their own.

# Compat: prompting 6.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from models.parsers.errors import ParserError
from models.parsers.text import SPACES, trim
from models.parsers.xml_calls import xml_text

_TAG = re.compile(r"<(/?)(arg_key|arg_value)>")
_SPACE = re.compile(f"[{SPACES}]")
_CYCLE = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")


class MalformedCall(ParserError):
    """The elements are not nested as XML demands."""


@dataclass(frozen=True, slots=True)
class Elements:
    """`keys` and `values` belong together by their places."""

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]

    def check(self) -> None:
        """Raises: ParserError if this is no call."""
        if not self.name:
            raise ParserError("empty function name")
        if len(self.keys) != len(self.values):
            counts = f"{len(self.keys)} keys, {len(self.values)} values"
            raise ParserError(f"mismatched arg_key and arg_value counts: {counts}")

    def arguments(self) -> Iterator[tuple[str, str]]:
        """Keys with their values."""
        return zip(self.keys, self.values, strict=True)


def read_elements(body: str) -> Elements:
    """The parts of a body; elements within elements count for nothing. Raises: MalformedCall."""
    outside: list[str] = []
    found: dict[str, list[str]] = {"arg_key": [], "arg_value": []}
    inside: list[str] = []
    path: list[str] = []
    for text, tag in _pieces(body):
        if not path:
            outside.append(text)
        elif len(path) == 1:
            inside.append(text)
        if tag is None:
            break
        closes, element = tag.groups()
        if not closes:
            path.append(element)
            inside = inside if len(path) > 1 else []
            continue
        if not path or path.pop() != element:
            raise MalformedCall(f"XML syntax error: unexpected {tag[0]}")
        if not path:
            found[element].append("".join(inside))
    if path:
        raise MalformedCall(f"XML syntax error: element <{path[-1]}> closed by </tool_call>")
    keys, values = map(tuple, found.values())
    return Elements(trim("".join(outside)), tuple(map(trim, keys)), values)


def _pieces(body: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Texts, each with the tag after it; the last one has none."""
    start = 0
    for tag in _TAG.finditer(body):
        yield _text(body[start : tag.start()]), tag
        start = tag.end()
    yield _text(body[start:]), None


def _text(text: str) -> str:
    try:
        return xml_text(text)
    except ParserError as error:
        raise MalformedCall(str(error)) from error


def repaired(body: str) -> str:
    """The body with the tags that a model left out, so that keys and values take turns."""
    first = _TAG.search(body)
    if first is None:
        return body
    # A name has no spaces in it, so what follows one before a tag other than <arg_key> is the first key.
    space = _SPACE.search(body, 0, first.start()) if first[0] != _CYCLE[0] else None
    start = space.start() if space else first.start()
    parts = [body[:start]]
    due = 0
    for tag in _TAG.finditer(body):
        text, start = body[start : tag.start()], tag.end()
        added, due = _up_to(tag[0], text, due)
        parts.append(added)
    text = body[start:]
    parts.append(_up_to(_CYCLE[0], text, due)[0].removesuffix(_CYCLE[0]) if due else text)
    return "".join(parts)


def _up_to(tag: str, text: str, due: int) -> tuple[str, int]:
    """A text and its tag with what is missing between them and the tag that is due; the tag that is due next."""
    parts = []
    if _CYCLE[due] in ("<arg_key>", "<arg_value>") and tag != _CYCLE[due]:
        parts.append(_CYCLE[due])
        due = (due + 1) % len(_CYCLE)
    parts.append(text)
    while _CYCLE[due] != tag:
        parts.append(_CYCLE[due])
        due = (due + 1) % len(_CYCLE)
    return "".join(parts) + tag, (due + 1) % len(_CYCLE)
