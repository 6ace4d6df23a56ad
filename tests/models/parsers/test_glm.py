from __future__ import annotations

import pytest

from models.parsers.errors import ParserError
from models.parsers.glm import Glm47Parser, GlmOcrParser
from models.parsers.glm_calls import repaired
from models.parsers.steps import Expectations
from models.templates.chat import Think
from tests.models.parsers.reading import Read, read
from tests.models.parsers.splitting import splits
from tests.models.parsers.toolbox import tool

DEFAULT = Expectations([tool("f", "s", n="integer", s="string")])
MUTE = Expectations(DEFAULT.tools, think=Think(False))
ARGUMENTS = "<arg_key>n</arg_key>\n<arg_value>1</arg_value><arg_key> s </arg_key><arg_value>\na < b&c\n</arg_value>"
CALL = f"<tool_call>f\n{ARGUMENTS}\n</tool_call>"
CALLED = ("f", {"n": 1, "s": "a < b&c"})

REPLIES = [
    (Glm47Parser, DEFAULT, f"a\n</think>\n\nb\n{CALL}\n{CALL}", Read("b", "a", (CALLED, CALLED))),
    (Glm47Parser, DEFAULT, f"a{CALL}", Read("", f"a{CALL}")),
    (Glm47Parser, MUTE, "a</think>", Read("a</think>")),
    (Glm47Parser, MUTE, " <think> a </think> b", Read("b", "a")),
    (GlmOcrParser, DEFAULT, "<think>a</think>b", Read("b", "a")),
    (GlmOcrParser, DEFAULT, " a <tool_ca", Read(" a")),
    (GlmOcrParser, DEFAULT, f"{CALL[:-5]}", Read("", "", (CALLED,))),
]


@pytest.mark.parametrize(("parser", "expectations", "text", "expected"), REPLIES)
def test_a_reply_reads_the_same_however_it_is_cut(
    parser: type[GlmOcrParser], expectations: Expectations, text: str, expected: Read
) -> None:
    for runs in splits(text):
        assert read(parser(expectations), runs) == expected, runs


REPAIRS = [
    ("f", "f"),
    ("f<arg_key>a</arg_key><arg_value>b", "f<arg_key>a</arg_key><arg_value>b</arg_value>"),
    ("f<arg_key>a<arg_value>b</arg_value>", "f<arg_key>a</arg_key><arg_value>b</arg_value>"),
    ("f<arg_key>a</arg_key>b</arg_value>", "f<arg_key>a</arg_key><arg_value>b</arg_value>"),
    ("f a</arg_key><arg_value>b", "f<arg_key> a</arg_key><arg_value>b</arg_value>"),
    ("f<arg_key>a", "f<arg_key>a</arg_key><arg_value></arg_value>"),
    ("f<arg_key>a</arg_key>", "f<arg_key>a</arg_key><arg_value></arg_value>"),
    (
        "f<arg_key>a</arg_key><arg_key>b</arg_key><arg_value>c</arg_value>",
        "f<arg_key>a</arg_key><arg_value></arg_value><arg_key>b</arg_key><arg_value>c</arg_value>",
    ),
    (
        "f<arg_key>a</arg_key><arg_value>b<arg_key>c</arg_key><arg_value>d",
        "f<arg_key>a</arg_key><arg_value>b</arg_value><arg_key>c</arg_key><arg_value>d</arg_value>",
    ),
]


@pytest.mark.parametrize(("body", "whole"), REPAIRS)
def test_missing_tags_are_put_where_the_cycle_wants_them(body: str, whole: str) -> None:
    assert repaired(body) == whole
    assert repaired(whole) == whole


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "empty function name"),
        ("f<arg_key>a</arg_key>", "mismatched arg_key and arg_value counts: 1 keys, 0 values"),
        ("f<arg_key>a</arg_key><arg_value>\x00</arg_value>", "failed to parse XML: "),
    ],
)
def test_a_body_that_is_no_call_ends_the_reply(body: str, reason: str) -> None:
    with pytest.raises(ParserError, match=f"^{reason}"):
        GlmOcrParser(DEFAULT).add(f"<tool_call>{body}</tool_call>", False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (" ", "empty function name"),
        ("g", 'unknown tool "g"'),
        ("f", 'required argument "s" is missing for tool "f"'),
        ("f<arg_key></arg_key><arg_value>1</arg_value>", "empty argument key"),
        ("f<arg_key>s</arg_key><arg_value>1", "XML syntax error"),
        ("f<arg_key>s</arg_key>", "mismatched"),
    ],
)
def test_a_call_that_the_reply_ends_in_must_be_whole(body: str, reason: str) -> None:
    with pytest.raises(ParserError, match=f"^incomplete GLM tool call: {reason}"):
        GlmOcrParser(DEFAULT).add(f"<tool_call>{body}", True)
