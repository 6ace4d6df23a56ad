"""Blocks of calls that are read once their end tag has come: XML, Python, those of the Gemma families."""

from __future__ import annotations

import re
from typing import Any, assert_never

from models.parsers.call_blocks import FoundCall, Incomplete, Malformed, TagWatch
from models.parsers.errors import ParserError
from models.parsers.functiongemma import parse_functiongemma_call
from models.parsers.gemma4_calls import parse_gemma4_call
from models.parsers.glm_calls import read_elements, repaired
from models.parsers.lfm2 import parse_calls
from models.parsers.olmo3 import parse_call_lines
from models.parsers.steps import Expectations
from models.parsers.syntax import Body, BodyCalls
from models.parsers.typed_values import typed_value
from models.parsers.xml_calls import parse_xml_call
from models.templates.schema import types_of

_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_QWEN_NAME = re.compile(r"\s*<function=([^<>]+)>")
_GLM_NAME = re.compile(r"\s*([^\s<]+)\s*(?=<arg_key>)")
_PYTHON_NAME = re.compile(r"[\s\[,]*([\w.-]+)\s*\(")
_GEMMA_NAME = re.compile(r"\s*call:([^{]+)\{")
_NAMES = {
    Body.QWEN_XML: _QWEN_NAME,
    Body.GLM_XML: _GLM_NAME,
    Body.PYTHON: _PYTHON_NAME,
    Body.PYTHON_LINES: _PYTHON_NAME,
    Body.GEMMA: _GEMMA_NAME,
    Body.FUNCTION_GEMMA: _GEMMA_NAME,
}


class BodyCallReader:
    """`start`, body, `end`. Qwen3-Coder now and then leaves the outer tags out."""

    repeats = True

    def __init__(self, syntax: BodyCalls, expectations: Expectations) -> None:
        self._syntax = syntax
        self._expectations = expectations
        is_qwen = syntax.body is Body.QWEN_XML
        self.starts: tuple[str, ...] = (syntax.start, _FUNCTION) if is_qwen else (syntax.start,)

    def read(self, text: str, *, is_last: bool) -> tuple[list[FoundCall], int]:
        """The calls of a block. Raises: Incomplete, Malformed."""
        if text.startswith(self._syntax.start):
            at, closing, tail = len(self._syntax.start), self._syntax.end, ""
        else:
            at, closing, tail = 0, _FUNCTION_END, _FUNCTION_END
        self._check_lead(text[at : at + 1024])
        end = text.find(closing, at)
        if end >= 0:
            return self._parse(text[at:end] + tail), end + len(closing)
        if not is_last:
            raise Incomplete(watch=TagWatch(closing, text))
        try:
            return self._parse(text[at:]), len(text)
        except Malformed:
            raise Incomplete(self._name_in(text[at:])) from None

    def _check_lead(self, lead: str) -> None:
        """Raises: Malformed for a body that does not begin as one."""
        lead = lead.lstrip()
        if self._syntax.body is Body.QWEN_XML and not (lead.startswith(_FUNCTION) or _FUNCTION.startswith(lead)):
            raise Malformed

    def _name_in(self, body: str) -> str:
        found = _NAMES[self._syntax.body].match(body)
        return found[1] if found and self._expectations.tool(found[1]) is not None else ""

    def _parse(self, body: str) -> list[FoundCall]:
        """Raises: Malformed."""
        try:
            calls = self._calls(body)
        except (ParserError, ValueError):
            raise Malformed from None
        if any(self._expectations.tool(call.name) is None for call in calls):
            raise Malformed
        return calls

    def _calls(self, body: str) -> list[FoundCall]:
        match self._syntax.body:
            case Body.QWEN_XML:
                return [self._typed(*parse_xml_call(body.strip()))]
            case Body.GLM_XML:
                elements = read_elements(repaired(body.strip()))
                elements.check()
                return [self._typed(elements.name, dict(elements.arguments()))]
            case Body.PYTHON:
                return [FoundCall(name, arguments) for name, arguments in parse_calls(body)]
            case Body.PYTHON_LINES:
                return [FoundCall(name, arguments) for name, arguments in parse_call_lines(body)]
            case Body.GEMMA:
                if (call := parse_gemma4_call(body.strip(), self._expectations)) is None:
                    raise Malformed
                return [FoundCall(*call)]
            case Body.FUNCTION_GEMMA:
                return [FoundCall(*parse_functiongemma_call(body))]
            case _:
                assert_never(self._syntax.body)

    def _typed(self, name: str, texts: dict[str, str]) -> FoundCall:
        return FoundCall(name, {key: self._value(name, key, text) for key, text in texts.items()})

    def _value(self, name: str, key: str, text: str) -> Any:
        return typed_value(text, types_of(self._expectations.parameter(name, key)))
