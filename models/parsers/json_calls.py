"""Blocks of calls that are JSON between tags, as most chat templates ask for them."""

from __future__ import annotations

import json
import re
from typing import Any

from models.parsers.call_blocks import FoundCall, Incomplete, Malformed
from models.parsers.json_blocks import BLANKS, expect, parsed, read_json, skip_blanks
from models.parsers.steps import Expectations
from models.parsers.syntax import JsonCalls

_LONGEST_LEAD = 4096
"""Characters that are looked at to tell whether JSON without a tag is a call."""


class JsonCallReader:
    """One or more objects, or a list of them."""

    def __init__(self, syntax: JsonCalls, expectations: Expectations) -> None:
        self._syntax = syntax
        self._expectations = expectations
        tag = syntax.start.rstrip(" ")
        self._bare = "" if tag.strip() else tag + ("[" if syntax.in_array else "{")
        self.starts = tuple(dict.fromkeys((self._bare or tag, *syntax.also)))
        self.repeats = syntax.repeats
        keys = (syntax.name_key, syntax.arguments_key, syntax.id_key, syntax.wrapper, "type")
        names = expectations.names if syntax.name_is_key else keys
        self._leads = tuple(json.dumps(name) for name in names)

    def read(self, text: str, *, is_last: bool) -> tuple[list[FoundCall], int]:
        """The calls up to the closing tag. Raises: Incomplete, Malformed."""
        tag = self._tag(text)
        if not tag:
            self._check_lead(text)
        end_tag = self._syntax.end if tag in (self._syntax.start.rstrip(" "), "") else ""
        values, end = self._read_values(text, len(tag), has_end=bool(end_tag))
        calls = [self._call(value) for value in values]
        return calls, end if is_last else expect(text, end, end_tag)

    def _tag(self, text: str) -> str:
        """The tag that the block begins with; empty if it is JSON from the start."""
        found = max((start for start in self.starts if text.startswith(start)), key=len)
        return "" if found == self._bare else found

    def _check_lead(self, text: str) -> None:
        """Raises: Malformed, Incomplete unless an object without a tag before it starts as a call does."""
        rest = text[:_LONGEST_LEAD].lstrip(BLANKS + "[{")
        if any(rest.startswith(lead) for lead in self._leads):
            return
        if any(lead.startswith(rest) for lead in self._leads):
            raise Incomplete
        raise Malformed

    def _read_values(self, text: str, at: int, *, has_end: bool) -> tuple[list[Any], int]:
        """One value, or several with commas between them: without an end tag, the first is the last."""
        values = []
        while True:
            at = skip_blanks(text, at)
            try:
                value, end = read_json(text, at)
            except Incomplete as incomplete:
                raise Incomplete(self._name_in(text[at:]), incomplete.watch) from None
            values += value if isinstance(value, list) else [value]
            after = skip_blanks(text, end)
            if not has_end or not text.startswith(",", after):
                return values, end
            at = after + 1

    def _call(self, value: Any) -> FoundCall:
        syntax = self._syntax
        fields = value.get(syntax.wrapper) if syntax.wrapper and isinstance(value, dict) else value
        if not isinstance(fields, dict):
            raise Malformed
        if syntax.name_is_key:
            name, arguments = next(iter(fields.items()), ("", None))
        else:
            name, arguments = fields.get(syntax.name_key), fields.get(syntax.arguments_key, {})
        if isinstance(arguments, str):
            arguments = parsed(arguments)
        if not isinstance(name, str) or self._expectations.tool(name) is None or not isinstance(arguments, dict):
            raise Malformed
        identity = value.get(syntax.id_key) if syntax.id_key else None
        return FoundCall(name, arguments, str(identity) if identity else "")

    def _name_in(self, text: str) -> str:
        """The name of a declared tool that a cut-off call already holds."""
        key = r"\{" if self._syntax.name_is_key else rf'"{re.escape(self._syntax.name_key)}"\s*:'
        found = re.search(rf'{key}\s*"((?:[^"\\]|\\.)*)"', text)
        return found[1] if found and self._expectations.tool(found[1]) is not None else ""
