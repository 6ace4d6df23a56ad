from __future__ import annotations

import re

import pytest

from models.parsers.errors import ParserError
from models.parsers.events import Delta
from models.parsers.native import NativeParser
from models.parsers.steps import Expectations
from models.parsers.syntax import JsonCalls, ReasoningTags
from tests.models.parsers.splitting import Reply, assert_reply, parse, splits
from tests.models.parsers.toolbox import tool

THINK = ReasoningTags("<think>\n", "\n</think>\n\n")
HERMES = JsonCalls("<tool_call>\n", "</tool_call>", repeats=True)
LLAMA = JsonCalls("", "", arguments_key="parameters")
MISTRAL = JsonCalls("[TOOL_CALLS]", "", in_array=True, id_key="id")
APERTUS = JsonCalls("<|tools_prefix|>", "<|tools_suffix|>", in_array=True, name_is_key=True)
OPENAI = JsonCalls("<tools>", "</tools>", wrapper="function")
TOOLS = Expectations([tool("add", a="integer", b="number", t="string"), tool("get_weather", city="string")])


def hermes(primer: str = "") -> NativeParser:
    return NativeParser(THINK, HERMES, TOOLS, primer)


WEATHER = ("get_weather", {"city": "Rome"})
ADD = ("add", {"a": 1, "b": 2.5})
REPLIES = [
    ("Hello there", Reply("Hello there")),
    ("  \n padded \n", Reply("padded \n")),
    ("<think>\nI ponder.\n</think>\n\nIt is so.", Reply("It is so.", "I ponder.\n")),
    ("\n<think>I ponder.</think>It is so.", Reply("It is so.", "I ponder.")),
    ("<think>\n\n</think>\n\nIt is so.", Reply("It is so.")),
    ("<think>\n\n\n  a</think>b", Reply("b", "\n\n  a")),
    ("<think>a\n</think>\n\n\n\n b", Reply("\n\n b", "a\n")),
    ("<think>a </thin b</think>", Reply("", "a </thin b")),
    ("<think>never closed", Reply("", "never closed")),
    ("<think>\n  ", Reply()),
    ("Well, <think>no</think> done.", Reply("Well, <think>no</think> done.")),
    ("<thin air", Reply("<thin air")),
    ('<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>', Reply("", "", (WEATHER,))),
    (
        'Let me check.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2.5}}\n</tool_call>\n',
        Reply("Let me check.\n", "", (WEATHER, ADD)),
    ),
    (
        '<think>\nhm\n</think>\n<tool_call>\n'
        '{"arguments": "{\\"city\\": \\"Rome\\"}", "name": "get_weather"}</tool_call> ',
        Reply("", "hm\n", (WEATHER,)),
    ),
    ('<tool_call>{"name": "add", "arguments": {}}</tool_call>', None),  # without the template's line break: no tag
    ('<tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call>', None),
    ('<tool_call>\n{"name": "add", "arguments": [1]}\n</tool_call>', None),
    ('<tool_call>\n{"name": "add" "arguments": {}}\n</tool_call>', None),
    ('<tool_call>\n{"name": "add", "arguments": {"a": NaN}}\n</tool_call>', None),
    ("<tool_call>\nnonsense</tool_call>", None),
    ('<tool_call>\n{"name": "add", "arguments": {"a": "\\x"}}\n</tool_call>', None),
    ('<tool_call>\n{"name": "add", "arguments": {"t": "a\nb\\u00e9</tool_call>"}}\n</tool_call>',
     Reply("", "", (("add", {"t": "a\nbé</tool_call>"}),))),
    ('<tool_call>\n{"name": "add"}\n</tool_call>', Reply("", "", (("add", {}),))),
    ('<tool_call>\n{"name": "add", "arguments": {"a": 1}}', Reply("", "", (("add", {"a": 1}),))),
    ('x <tool_call>\n{"name": "ad', Reply("x ")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reply"), REPLIES, ids=[case[0] for case in REPLIES])
def test_thoughts_and_hermes_calls_are_found_however_the_text_is_cut(text: str, reply: Reply | None) -> None:
    assert_reply(hermes, text, reply or Reply(text))


FORMATS = [
    (LLAMA, '{"name": "get_weather", "parameters": {"city": "Rome"}}', Reply("", "", (WEATHER,))),
    (LLAMA, 'Sure: {"type": "function", "name": "get_weather", "parameters": {"city": "Rome"}}',
     Reply("Sure: ", "", (WEATHER,))),
    (LLAMA, 'An object {"x": {"name": 1}} and { "name" }', None),
    (LLAMA, '{"name": "nobody", "parameters": {}} it was', None),
    (MISTRAL, '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "9"}, '
     '{"name": "add", "arguments": {"a": 1, "b": 2.5}}]', Reply("", "", (WEATHER, ADD))),
    (MISTRAL, 'hi [TOOL_CALLS] {"name": "add", "arguments": {"a": 1, "b": 2.5}}', Reply("hi ", "", (ADD,))),
    (APERTUS, '<|tools_prefix|>[{"get_weather": {"city": "Rome"}}]<|tools_suffix|>', Reply("", "", (WEATHER,))),
    (OPENAI, '<tools>{"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2.5}}}</tools>',
     Reply("", "", (ADD,))),
]  # fmt: skip


@pytest.mark.parametrize(("syntax", "text", "reply"), FORMATS, ids=[case[1] for case in FORMATS])
def test_each_json_format_is_read(syntax: JsonCalls, text: str, reply: Reply | None) -> None:
    assert_reply(lambda: NativeParser(None, syntax, TOOLS), text, reply or Reply(text))


def test_content_streams_and_calls_come_at_the_end() -> None:
    parser = hermes()
    pieces = ["Let me", " check.", "\n<tool_call>", '\n{"name": "get_weather", "argu', 'ments": {"city": "Rome"}}',
              "\n</tool_call>", "\n<tool_call>\n", '{"name": "add", "arguments": {}}', "\n</tool_call>\n"]  # fmt: skip
    told = [parser.feed(piece) for piece in pieces]
    assert told == [[Delta("Let me")], [Delta(" check.")], [Delta("\n")], [], [], [], [], [], []]
    (last,) = parser.finish()
    assert [(call.name, call.index) for call in last.tool_calls] == [("get_weather", 0), ("add", 1)]
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", call.id) for call in last.tool_calls)


def test_thoughts_stream_with_the_whitespace_before_their_end() -> None:
    parser = hermes()
    pieces = ["<think>", "\nThe user", " to ponder.", "\n</think>", "\n\nIt is", " forty"]
    told = [parser.feed(piece) for piece in pieces]
    assert told == [[], [Delta(thinking="The user")], [Delta(thinking=" to ponder.")], [Delta(thinking="\n")],
                    [Delta("It is")], [Delta(" forty")]]  # fmt: skip


def test_text_after_a_broken_tag_streams_at_once() -> None:
    parser = hermes()
    told = [parser.feed(piece) for piece in ["<tool_call>", '{"name": "get_weather"', ', "argum', "</tool_call"]]
    assert told == [[], [Delta('<tool_call>{"name": "get_weather"')], [Delta(', "argum')], [Delta("</tool_call")]]
    assert parser.finish() == []


def test_without_tools_nothing_is_a_call_and_without_tags_nothing_is_dropped() -> None:
    text = '\n <tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'
    assert_reply(lambda: NativeParser(None, HERMES, Expectations()), text, Reply(text))
    assert_reply(lambda: NativeParser(THINK, HERMES, Expectations()), text, Reply(text.lstrip()))
    assert_reply(lambda: NativeParser(None, HERMES, TOOLS), "\n x", Reply("x"))


def test_the_primer_is_read_but_not_told() -> None:
    assert_reply(lambda: hermes("<think>\n"), "I ponder\n</think>\n\nSo.", Reply("So.", "I ponder\n"))
    assert_reply(lambda: hermes("<think>\n\n</think>\n\n"), "So.", Reply("So."))
    assert_reply(lambda: hermes("<think>\n\n</think>\n\nRoses"), " are red", Reply(" are red"))


def test_a_template_that_always_thinks_needs_no_opening_tag() -> None:
    tags = ReasoningTags("", "\n</think>\n")
    assert_reply(lambda: NativeParser(tags, None, Expectations()), "hm\n</think>\nyes", Reply("yes", "hm\n"))


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "get_weather",',
        '<tool_call>\n{"name": "get_weather", "arguments":',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Ro',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": tr',
    ],
)
def test_a_reply_that_ends_inside_a_call_is_an_error(text: str) -> None:
    for pieces in splits(text):
        with pytest.raises(ParserError) as caught:
            parse(hermes(), pieces)
        assert str(caught.value) == (
            'llama-server returned invalid tool call arguments for "get_weather": unexpected end of JSON input'
        )
