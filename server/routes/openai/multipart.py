"""Forms with files, multipart/form-data, with the error texts of Go's reader: pure.

Source: RFC 7578, RFC 2046 5.1.1; Go mime/multipart and net/http ParseMultipartForm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class InvalidForm(ValueError):
    """The body is not a form; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Form:
    """The first value of each field, and the first file of each name."""

    values: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def parse_form(content_type: str, body: bytes | bytearray) -> Form:
    """Raises: InvalidForm."""
    form = Form()
    for head, content in _parts(bytes(body), _boundary(content_type)):
        disposition = _header(head.decode("utf-8", "replace"), "content-disposition")
        name = disposition.get_param("name", header="content-disposition")
        if disposition.get_content_disposition() != "form-data" or not isinstance(name, str) or not name:
            continue
        if disposition.get_filename():
            form.files.setdefault(name, content)
        else:
            form.values.setdefault(name, content.decode("utf-8", "replace"))
    return form


def _boundary(content_type: str) -> bytes:
    media = Message()
    media["content-type"] = content_type
    if not content_type or media.get_content_type() != "multipart/form-data":
        raise InvalidForm("request Content-Type isn't multipart/form-data")
    boundary = media.get_boundary()
    if not boundary:
        raise InvalidForm("no multipart boundary param in Content-Type")
    return boundary.encode("utf-8", "replace")


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Head and content of each part."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    before = delimiter.search(body)
    if before is None:
        raise InvalidForm("multipart: NextPart: EOF")
    while before[1] is None:
        # The line break that ends a delimiter may also be the one that begins the next.
        after = delimiter.search(body, before.end())
        if after is None:
            raise InvalidForm("unexpected EOF" if body[before.end() :].strip() else "multipart: NextPart: EOF")
        part = body[before.end() : after.start()]
        blank = _BLANK_LINE.search(part)
        yield (part[: blank.start()], part[blank.end() :]) if blank else (part, b"")
        before = after


def _header(head: str, name: str) -> Message:
    """A message that has the header of this name, and no other."""
    found = Message()
    for line in head.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == name:
            found[name] = value.strip()
            break
    return found
