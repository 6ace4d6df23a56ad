"""Calls as Qwen3-Coder writes them: `<function=NAME>` with a `<parameter=KEY>` for each argument.

# Compat: prompting 6.1: the body is made XML and read as Go's encoding/xml does, so its errors are errors here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from models.parsers.errors import ParserError

_ASSIGNMENT = re.compile(r"<(\w+)=([^>]+)>", re.ASCII)
_TAG = re.compile(r'<(/?)(function|parameter)(?:\s+name="([^"]*)")?>', re.ASCII)
_ENTITY = re.compile(r"&(?:#(\d+)|#x([0-9a-fA-F]+)|([^;&]*));?")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans(
    {'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": '"'}


def parse_xml_call(body: str) -> tuple[str, dict[str, str]]:
    """Name and arguments of a call, as texts. Raises: ParserError."""
    name = key = ""
    arguments: dict[str, str] = {}
    value: list[str] = []
    path: list[str] = []
    for text, tag in _pieces(_as_xml(body)):
        if path == ["function", "parameter"]:
            value.append(text)
        if tag is None:
            break
        closes, element, attribute = tag.groups()
        if closes:
            _check_end(path, tag)
            if path == ["function", "parameter"]:
                arguments[key] = "".join(value)
            path.pop()
            if not path:
                return name, arguments
            continue
        path.append(element)
        match path:
            case ["function"]:
                name = _attribute(attribute)
            case ["parameter"]:
                raise ParserError("expected element type <function> but have <parameter>")
            case ["function", "parameter"]:
                key, value = _attribute(attribute), []
    raise ParserError("XML syntax error: unexpected EOF" if path else "EOF")


def _as_xml(body: str) -> str:
    # Looking for assignments only up to the last bracket keeps this linear.
    end = body.rfind(">") + 1
    return _ASSIGNMENT.sub(_as_attribute, body[:end]) + body[end:]


def _as_attribute(assignment: re.Match[str]) -> str:
    value = _NOT_XML.sub("\ufffd", assignment[2]).translate(_ESCAPES)
    return f'<{assignment[1]} name="{value}">'


def _pieces(text: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Texts, each with the tag after it; the last one has none."""
    start = 0
    for tag in _TAG.finditer(text):
        yield xml_text(text[start : tag.start()]), tag
        start = tag.end()
    yield xml_text(text[start:]), None


def xml_text(text: str) -> str:
    """Text of an XML document as Go reads it. Raises: ParserError for control characters."""
    if found := _NOT_XML.search(text):
        raise ParserError(f"XML syntax error: illegal character code U+{ord(found[0]):04X}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_end(path: list[str], tag: re.Match[str]) -> None:
    if not path:
        raise ParserError(f"XML syntax error: unexpected end element </{tag[2]}>")
    if path[-1] != tag[2]:
        raise ParserError(f"XML syntax error: element <{path[-1]}> closed by </{tag[2]}>")
    if tag[3] is not None:
        raise ParserError(f"XML syntax error: invalid characters between </{tag[2]} and >")


def _attribute(text: str | None) -> str:
    if text is None:
        return ""
    if "<" in text:
        raise ParserError("XML syntax error: unescaped < inside quoted string")
    return _ENTITY.sub(_entity, xml_text(text))


def _entity(entity: re.Match[str]) -> str:
    decimal, hexadecimal, name = entity.groups()
    if entity[0].endswith(";"):
        if name in _ENTITIES:
            return _ENTITIES[name]
        code = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else -1
        if 0 <= code <= 0x10FFFF and not _NOT_XML.match(chr(code)):
            return chr(code)
    raise ParserError(f"XML syntax error: invalid character entity {entity[0]}")
