"""What a reply must look like, as requests say it: any JSON, a JSON Schema, a grammar, a regular expression."""

from __future__ import annotations

import re

from models.errors import ModelError
from models.runner.settings import Constraint
from registry.gojson import quote

JSON = Constraint("json", "")
_GBNF_RULE = re.compile(r"^[ \t]*[A-Za-z][\w-]*[ \t]*::=", re.MULTILINE)


class InvalidFormat(ModelError):
    """A `format` that is neither "json" nor an object."""

    def __init__(self, raw: str) -> None:
        super().__init__(f'invalid format: {quote(raw)}; expected "json" or a valid JSON Schema object')


def parse_constraint(format_: bytes, grammar: str, regex: str) -> Constraint | None:
    """The constraint that one of the three stands for; a grammar's rules tell whether it is GBNF or Lark.

    Raises: InvalidFormat.
    """
    if grammar:
        return Constraint("gbnf" if _GBNF_RULE.search(grammar) else "lark", grammar)
    return Constraint("regex", regex) if regex else parse_format(format_)


def parse_format(raw: bytes) -> Constraint | None:
    """What the raw JSON of the field stands for (http-api 4.6). Raises: InvalidFormat."""
    text = raw.strip()
    if text in (b"", b"null", b'""'):
        return None
    if text == b'"json"':
        return JSON
    if text.startswith(b"{"):
        return Constraint("json_schema", text.decode("utf-8", "replace"))
    raise InvalidFormat(text.decode("utf-8", "replace"))
