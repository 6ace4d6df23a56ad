# ruff: noqa: E501
# A row of a table is one line.

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from models.parsers.events import Delta
from models.parsers.inferred import InferredParser
from models.parsers.thinking import ThinkingParser, without_thoughts
from models.parsers.tools import TagCallParser, ToolNames, find_arguments
from tests.models.parsers.splitting import Reply, assert_reply, splits

THINK = ("<think>", "</think>")
TOOLS = ("add", "get_weather", "get_weather_today")
ADD = ("add", {"a": 1, "b": 2.5})

THOUGHTS = [
    ("<think>a</think>b", Reply("b", "a")),
    ("  <think>\n a \n</think>\n\n b", Reply("b", "a \n")),
    ("<think>a</thin b", Reply("", "a</thin b")),
    ("<think></think>b", Reply("b")),
    ("x <think>a</think>b", Reply("x <think>a</think>b")),
    (" \n x", Reply(" \n x")),
    ("<thx", Reply("<thx")),
    ("<think>a</think> b <think>c</think>", Reply("b <think>c</think>", "a")),
]


@pytest.mark.parametrize(("text", "reply"), THOUGHTS)
def test_a_thought_at_the_beginning_is_split_off(text: str, reply: Reply) -> None:
    assert_reply(lambda: InferredParser(THINK), text, reply)


def test_text_that_could_become_a_tag_waits_and_is_lost_at_the_end() -> None:
    parser = ThinkingParser(*THINK)
    assert [parser.add(piece) for piece in (" <thi", "nk> ", "a</thi", "s</think", ">  ", " b")] == [
        ("", ""), ("", ""), ("a", ""), ("</this", ""), ("", ""), ("", "b")]  # fmt: skip


def test_a_prompt_that_opened_the_thought_needs_no_tag() -> None:
    assert_reply(lambda: InferredParser(THINK, is_thinking=True), "a</think>b", Reply("b", "a"))


def test_thoughts_of_an_earlier_answer_are_taken_out() -> None:
    assert without_thoughts("<think>a</think>b") == "b"
    assert without_thoughts("<think>a") == ""
    assert without_thoughts("a<think>b</think>") == "a<think>b</think>"


CALLS = [
    ("<tool_call>", 'ok <tool_call>{"name": "add", "arguments": {"a": 1, "b": 2.5}}</tool_call> more', Reply("ok ", "", (ADD,))),
    ("<tool_call>", 'ok <tool_call>{"name": "nobody", "arguments": {}}', Reply("ok ")),
    ("<tool_call>", 'ok <tool_call> add', Reply("ok ")),
    ("[TOOL_CALLS] [", '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1, "b": 2.5}}, {"name": "get_weather", "arguments": "{}"}]',
     Reply("", "", (ADD, ("get_weather", {})))),
    ("{", '{"name": "add", "parameters": {"a": 1, "b": 2.5}}', Reply("", "", (ADD,))),
    ("[", '[{"add": {"a": 1, "b": 2.5}}]', Reply("", "", (ADD,))),
    ("{", '{"x": 1} and text', Reply('{"x": 1} and text')),
]  # fmt: skip


@pytest.mark.parametrize(("tag", "text", "reply"), CALLS)
def test_calls_are_found_after_their_tag(tag: str, text: str, reply: Reply) -> None:
    def make() -> InferredParser:
        return InferredParser(None, tag, TOOLS)

    # How content around a call is cut decides what is lost (prompting.md 4.5), so only these two ways must agree.
    whole_after_tag = [text[: text.find(tag)], text[text.find(tag) :]]
    for pieces in ([*filter(None, whole_after_tag)], list(text)):
        assert _reply(make(), pieces) == reply, pieces


def _reply(parser: InferredParser, pieces: Sequence[str]) -> Reply:
    deltas = [delta for piece in pieces for delta in parser.feed(piece)] + parser.finish()
    calls = tuple((call.name, call.arguments) for delta in deltas for call in delta.tool_calls)
    return Reply("".join(d.content for d in deltas), "".join(d.thinking for d in deltas), calls)


def test_each_call_gets_an_id() -> None:
    (delta,) = InferredParser(None, "{", TOOLS).feed('{"name": "add", "arguments": {}}')
    assert re.fullmatch(r"call_[a-z0-9]{8}", delta.tool_calls[0].id)


def test_calls_in_one_chunk_with_content_are_lost() -> None:
    text = 'ok <tool_call>{"name": "add", "arguments": {}}</tool_call>'
    assert InferredParser(None, "<tool_call>", TOOLS).feed(text) == [Delta("ok ")]


def test_a_call_without_a_tag_can_only_stand_at_the_beginning_and_its_text_is_told_twice() -> None:
    parser = InferredParser(None, "{", TOOLS)
    assert [*parser.feed('x {"name": "add"'), *parser.feed("}"), *parser.finish()] == [
        Delta('x {"name": "add"'), Delta("}"), Delta('{"name": "add"')]  # fmt: skip


FOUND = [
    ("add(", ("add", 3)),
    ("say get_weather_today!", ("get_weather_today", 21)),
    ("get_weather: ad", None),
    ("get_weather: add.", ("get_weather", 11)),
    ("get_weather", None),
    ("nothing.", None),
]


@pytest.mark.parametrize(("text", "found"), FOUND)
def test_the_first_and_longest_name_counts_unless_another_is_under_way(
    text: str, found: tuple[str, int] | None
) -> None:
    names = ToolNames(TOOLS)
    assert (None if names.is_begun(text) else names.find(text, 0)) == found


ARGUMENTS = [
    ('{"name": "add", "arguments": {"a": 1}}', {"a": 1}),
    ('{"name": "add", "parameters": "{\\"a\\": 1}"}', {"a": 1}),
    ('{"name": "add"}', None),
    ('{"add": {"a": 1}}', {"a": 1}),
    ('{"calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]}', {"a": 1}),
    ('{"a": "}", "b": "\\"{"}', {"a": "}", "b": '"{'}),
    ('} {bad} {"a": 1}', {"a": 1}),
    ('{"a": {"b": 1}', None),
]


@pytest.mark.parametrize(("text", "arguments"), ARGUMENTS)
def test_arguments_are_looked_for_in_the_first_object(text: str, arguments: dict[str, object] | None) -> None:
    assert find_arguments("add", text)[0] == arguments


def test_the_call_parser_agrees_with_itself() -> None:
    text = '<tool_call>{"name": "add", "arguments": {"a": "}{"}} {"name": "get_weather", "arguments": {}} '
    for pieces in splits(text):
        parser = TagCallParser("<tool_call>", TOOLS)
        calls = [call for piece in pieces for call in parser.add(piece)[1]]
        assert [(call.name, call.arguments, call.index) for call in calls] == [
            ("add", {"a": "}{"}, 0), ("get_weather", {}, 1)]  # fmt: skip
