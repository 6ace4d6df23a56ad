# ruff: noqa: RUF001
# The tokens of some models are written with a fullwidth bar.
"""Parsers read whatever a model may write, in whatever pieces: no surprises, nothing made up, one result."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.parsers.errors import ParserError
from models.parsers.events import Delta, StreamParser
from models.parsers.inferred import InferredParser
from models.parsers.native import native_parser
from models.parsers.stepped import SteppedParser
from models.parsers.steps import Expectations, Step, StepParser
from models.parsers.syntax import AddressedCalls, ReasoningTags, tags_of
from models.parsers.table import PARSERS
from models.templates.chat import Message, Think
from tests.models.fuzzing import examples
from tests.models.parsers.splitting import Reply, parse
from tests.models.parsers.test_native_splits import PARTS as NATIVE_PARTS
from tests.models.parsers.test_native_splits import SYNTAXES
from tests.models.parsers.toolbox import tool

Make = Callable[[], StreamParser]

TOOLS = [tool("add", a="integer", t="string"), tool("python", code="string")]
CALLS = (
    *('add{"a": 1}', '{"name": "add", "arguments": {"a": 1}}', "\n<function=add>\n<parameter=a>\n1\n</parameter>"),
    *("</function>", "call:add{a:1,t:", "add(a=1, t='x')", "[add(a=[1, {'b': None}])]", "functions.add", " to=add"),
    *("function<｜tool▁sep｜>add\n```json\n{}\n```", '[{"tool_name": "add", "parameters": {}}]', "add\n", "t"),
    *('<atem:function_calls>\n<atem:invoke name="add">\n', '<atem:parameter name="a">1</atem:parameter>\n'),
    *("</atem:invoke>\n</atem:function_calls>", "thought\n", "assistant", "commentary", "analysis", "final"),
)
GENERAL = (
    " ",
    "\n",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    '"',
    "'",
    "\\",
    ",",
    ":",
    "=",
    "<",
    ">",
    "&",
    "|",
    "1e9",
    "null",
    "é",
)
EXPECTATIONS = st.builds(
    Expectations,
    st.sampled_from([[], TOOLS]),
    st.sampled_from([None, Message("user", "x"), Message("tool", "x"), Message("assistant", "x")]),
    st.sampled_from([None, Think(True), Think(False)]),
)
LARGEST_GROWTH = 2
"""How often a parser may tell a character: text before a brace comes twice with some (prompting 4.5)."""


class _Refusing:
    """A built-in parser as a stream that ends where the parser refuses."""

    def __init__(self, parser: StepParser) -> None:
        self._parser = parser

    def feed(self, text: str) -> list[Delta]:
        return self._told(self._parser.add(text, False))

    def finish(self) -> list[Delta]:
        return self._told(self._parser.add("", True))

    def _told(self, step: Step) -> list[Delta]:
        return [Delta(step.content, step.thinking, tuple(step.calls))]


def _recorded(name: str) -> list[str]:
    files = (Path(__file__).parents[2] / "conformance" / "vectors").rglob("*.json")
    vectors = (vector for file in files for vector in json.loads(file.read_text(encoding="utf-8")))
    replies = ["".join(c["text"] for c in v["input"]["chunks"]) for v in vectors if v["suite"] == f"parser/{name}"]
    return replies or [""]


def _texts(parts: Sequence[str], replies: Sequence[str] = ("",)) -> st.SearchStrategy[str]:
    """Texts of these parts, and replies with a part of them replaced by such a text."""
    made = st.lists(st.sampled_from(parts) | st.text(max_size=3), max_size=14).map("".join)
    changed = st.builds(_spliced, st.sampled_from(replies), st.integers(0, 400), st.integers(0, 30), made)
    return made | changed


def _spliced(reply: str, start: int, size: int, text: str) -> str:
    return reply[:start] + text + reply[start + size :]


def _cut(text: str, places: Sequence[int]) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


PLACES = st.lists(st.integers(0, 500), max_size=8)


def _size(value: Any) -> int:
    match value:
        case str():
            return len(value)
        case dict():
            return sum(len(key) + _size(item) for key, item in value.items())
        case list() | tuple():
            return sum(map(_size, value))
    return 0


def _read(make: Make, pieces: Sequence[str]) -> Reply | None:
    """What comes of it; None where the parser refuses."""
    try:
        reply = parse(make(), pieces)
    except ParserError:
        return None
    size = _size((reply.content, reply.thinking, reply.calls))
    assert size <= LARGEST_GROWTH * sum(map(len, pieces)) + 100
    json.dumps(reply.calls).encode()
    return reply


def _without_blanks(reply: Reply) -> Reply:
    return replace(reply, content="".join(reply.content.split()), thinking="".join(reply.thinking.split()))


UNEVEN = {
    "cogito": "tags arrive whole",
    "cohere": "an answer is looked for in what has arrived, before a call",
    "deepseek3": "tags arrive whole",
    "gemma4": "a thought is looked for before a call, and blanks before a tag are not held back",
    "gemma4-no-thinking": "as gemma4",
    "functiongemma": "what stands between two calls of a run is lost",
    "glimmer": "the end of the reply decides",
    "laguna": "a thought is told when a blank follows",
    "lfm2": "tags arrive whole",
    "lfm2-thinking": "tags arrive whole",
    "ministral": "a call is looked for before a thought",
    "olmo3": "what the last run completes is lost",
    "ornith": "the beginning of a tag comes first",
    "poolside-v1": "as laguna",
    "qwen3-thinking": "a tag that opens a thought is dropped again when nothing follows the first",
    "qwen3.5": "the beginning of a tag comes first",
}
"""Parsers whose result depends on how a reply is cut, as that of the originals does."""
UNEVEN_BLANKS = {"glm-4.7", "glm-ocr", "nemotron-3-nano", "nemotron-3.5-nano", "olmo3-think", "qwen3", "qwen3-coder"}
"""Those that drop the whitespace after a tag only if it comes in the same piece, as the originals do."""


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_no_reply_surprises_a_built_in_parser(name: str) -> None:
    kind = PARSERS[name]
    parts = (*kind.preserved, *kind.preserved, *CALLS, *GENERAL)

    @examples(15)
    @given(_texts(parts, _recorded(name)), PLACES, EXPECTATIONS)
    def check(text: str, places: list[int], expectations: Expectations) -> None:
        def make() -> StreamParser:
            return _Refusing(kind.make(expectations))

        pieces_of_text = (list(text), _cut(text, places), [text])
        results = [_read(make, pieces) for pieces in pieces_of_text]
        for pieces in pieces_of_text:
            served = _read(lambda: SteppedParser(kind.make, expectations), pieces)
            assert served is not None, "a stream goes on"
        if name in UNEVEN_BLANKS:
            results = [result and _without_blanks(result) for result in results]
        if name not in UNEVEN:
            assert results[0] == results[1] == results[2]

    check()


@pytest.mark.parametrize(
    "tags", [None, ReasoningTags("<think>", "</think>"), ReasoningTags("", "\n</think>\n")], ids=repr
)
@pytest.mark.parametrize("name", SYNTAXES)
def test_no_reply_surprises_the_parser_of_a_chat_template(name: str, tags: ReasoningTags | None) -> None:
    syntax = SYNTAXES[name]
    parts = (*NATIVE_PARTS, *tags_of(syntax), *tags_of(syntax), *GENERAL)
    primer = ">>>" if isinstance(syntax, AddressedCalls) else ""

    @examples(15)
    @given(_texts(parts), PLACES)
    def check(text: str, places: list[int]) -> None:
        def make() -> StreamParser:
            return native_parser(tags, syntax, Expectations(TOOLS), primer)

        results = [_read(make, pieces) for pieces in ([text], list(text), _cut(text, places))]
        assert results[0] == results[1] == results[2]

    check()


@examples(100)
@given(
    _texts((*NATIVE_PARTS, "<tool_call>", "[TOOL_CALLS] [", *GENERAL)),
    PLACES,
    st.sampled_from([None, ("<think>", "</think>")]),
    st.sampled_from(["{", "[", "<tool_call>", "[TOOL_CALLS] ["]),
    st.booleans(),
)
def test_no_reply_surprises_the_parser_inferred_from_a_template(
    text: str, places: list[int], tags: tuple[str, str] | None, tag: str, is_thinking: bool
) -> None:
    def make() -> StreamParser:
        return InferredParser(tags, tag, ["add", "python"], is_thinking=is_thinking)

    for pieces in ([text], list(text), _cut(text, places)):
        assert _read(make, pieces) is not None, "this parser never refuses"
