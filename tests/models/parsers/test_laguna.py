from __future__ import annotations

import pytest

from models.parsers.errors import ParserError
from models.parsers.laguna import LAGUNA, POOLSIDE_V1
from models.parsers.steps import Expectations, ParserKind
from models.templates.chat import Message, Think
from tests.models.parsers.reading import Read, read
from tests.models.parsers.splitting import splits
from tests.models.parsers.toolbox import tool

TOOLS = [tool("f", n="integer"), tool("read", path="string")]
MUTE, THINKING = Expectations(TOOLS), Expectations(TOOLS, think=Think(True))
CONTINUED = Expectations(TOOLS, Message("assistant", "So"), Think(True))
CALL = "<tool_call>f\n<arg_key>n</arg_key>\n<arg_value>5</arg_value>\n</tool_call>"
CALLED = ("f", {"n": 5})

REPLIES = [
    (LAGUNA, THINKING, "\n<think>a b</think>\nc", Read("c", "a b")),
    (LAGUNA, THINKING, f"a{CALL}\nb", Read("b", "a", (CALLED,))),
    (LAGUNA, THINKING, "a b \n", Read("", "a b")),
    (LAGUNA, CONTINUED, "a b", Read("a b")),
    (POOLSIDE_V1, CONTINUED, "a b", Read("", "a b")),
    (LAGUNA, MUTE, "\n </think>\na</think>", Read("a</think>")),
    (LAGUNA, MUTE, "<think>a</think>\nb", Read("b")),
    (LAGUNA, MUTE, f"{CALL}\n{CALL}", Read("", "", (CALLED, CALLED))),
    (LAGUNA, MUTE, CALL.removesuffix("</tool_call>"), Read("", "", (CALLED,))),
    (LAGUNA, MUTE, "a <tool_ca", Read("a <tool_ca")),
    (LAGUNA, MUTE, "a<user>read_file</user>b", Read("ab", "", (("read", {}),))),
    (LAGUNA, MUTE, "a<user>me</user><user>f", Read("a<user>me</user><user>f")),
    (LAGUNA, Expectations(), '{"name": "f"}', Read('{"name": "f"}')),
]


def test_within_a_run_the_end_of_a_thought_is_looked_for_before_a_call() -> None:
    assert read(LAGUNA.make(THINKING), [f"a{CALL}</think>b", ""]) == Read("b", f"a{CALL}")
    assert read(LAGUNA.make(THINKING), [f"a{CALL}", "</think>b", ""]) == Read("b", "a", (CALLED,))


def test_within_a_run_a_thought_is_looked_for_before_a_call() -> None:
    assert read(LAGUNA.make(MUTE), [f"a{CALL}<think>b</think>c", ""]) == Read(f"a{CALL}c")


@pytest.mark.parametrize(("kind", "expectations", "text", "expected"), REPLIES)
def test_a_reply_reads_the_same_however_it_is_cut(
    kind: ParserKind, expectations: Expectations, text: str, expected: Read
) -> None:
    for runs in splits(text):
        assert read(kind.make(expectations), runs) == expected, runs


BODIES = [
    ('{"name": "read_file", "arguments": {"path": "a"}}', ("read", {"path": "a"})),
    ('{"name": "edit_file"}', ("edit_file", {})),
    ('f {"n": "5"}', ("f", {"n": "5"})),
    ("f", ("f", {})),
    ("<tool_call>f", ("f", {})),
    ("read_file<arg_key> path </arg_key> <arg_value>\n\na\n</arg_value>", ("read", {"path": "\na"})),
]


@pytest.mark.parametrize(("body", "call"), BODIES)
def test_a_call_has_several_forms(body: str, call: tuple[str, dict[str, object]]) -> None:
    assert read(LAGUNA.make(MUTE), [f"<tool_call>{body}</tool_call>"]) == Read(calls=(call,))


def test_thoughts_wait_for_a_blank_or_a_tag() -> None:
    parser = LAGUNA.make(THINKING)
    runs = [parser.add(text, False) for text in ("a", "b ", "c\n<", "d", "</think>")]
    assert [run.thinking for run in runs] == ["", "ab", " c\n", "", "<d"]


def test_json_without_a_tag_is_a_call_when_it_is_complete() -> None:
    parser = LAGUNA.make(MUTE)
    runs = [parser.add(text, False) for text in ("a\n", '{"name"', ': "f", "arguments": {}', "}", "b")]
    assert [run.content for run in runs] == ["a", "", "", "", "b"]
    assert [len(run.calls) for run in runs] == [0, 0, 0, 1, 0]


def test_code_in_braces_is_content_when_the_reply_ends() -> None:
    assert read(LAGUNA.make(MUTE), ["f() {\n", " return\n}"]) == Read("f() {\n return\n}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"x": 1}', "empty Laguna tool call name"),
        ('{"name": "f', "failed to parse Laguna JSON tool call: "),
        ("<tool_call>f {</tool_call>", "failed to parse Laguna JSON tool call arguments: "),
        ('<tool_call>{"name": 1}</tool_call>', "failed to parse Laguna JSON tool call: "),
        ("<tool_call></tool_call>", "empty Laguna tool call name"),
    ],
)
def test_what_looks_like_a_call_must_be_one(text: str, reason: str) -> None:
    parser = LAGUNA.make(MUTE)
    with pytest.raises(ParserError, match=f"^{reason}"):
        parser.add(text, False)
        parser.add("", True)
