from __future__ import annotations

import pytest

from models.parsers.errors import ParserError
from models.parsers.qwen3_coder import NemotronParser, Qwen3CoderParser, Qwen35Parser
from models.parsers.steps import Expectations
from models.templates.chat import Message, Think
from tests.models.parsers.reading import Read, read
from tests.models.parsers.splitting import splits
from tests.models.parsers.toolbox import tool

TOOLS = [tool("f", n="integer", s="string", t={"anyOf": [{"type": "null"}, {"type": "boolean"}]})]
MUTE, DEFAULT = Expectations(TOOLS, think=Think(False)), Expectations(TOOLS)
CONTINUED = Expectations(TOOLS, last_message=Message("assistant", "So"))


def a_call(body: str, name: str = "f") -> str:
    return f"<tool_call>\n<function={name}>\n{body}</function>\n</tool_call>"


def argument(key: str, value: str) -> str:
    return f"<parameter={key}>\n{value}\n</parameter>\n"


CALLS = [
    ("", {}),
    (argument("n", "5"), {"n": 5}),
    (argument("n", "five"), {"n": "five"}),
    (argument("t", "TRUE"), {"t": True}),
    (argument("u", "5"), {"u": "5"}),
    (argument("s", "a < b && c > </b>\r\n<b=1>\n"), {"s": 'a < b && c > </b>\n<b name="1">\n'}),
    (argument("s", "1") + argument("n", "2") + argument("s", "3"), {"s": "3", "n": 2}),
    ('<parameter name="n">1</parameter>', {"n": 1}),
    ("text <parameter=s>1<parameter=n>2</parameter>3</parameter> more", {"s": "13"}),
]


@pytest.mark.parametrize(("body", "arguments"), CALLS)
def test_a_call_is_read_with_the_types_its_tool_declares(body: str, arguments: dict[str, object]) -> None:
    assert read(Qwen3CoderParser(DEFAULT), [a_call(body)]) == Read(calls=(("f", arguments),))


@pytest.mark.parametrize(
    ("written", "name"), [("f g", "f g"), ('"f"', '"f"'), ("a&b<c", "a&b<c"), ("天气", "天气"), ("'f'\tg", "'f'\tg")]
)
def test_any_word_can_be_a_name(written: str, name: str) -> None:
    assert read(Qwen3CoderParser(DEFAULT), [a_call("", written)]) == Read(calls=((name, {}),))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "f(1)",
        "<function=f>",
        "<parameter=n>1</parameter>",
        "</function>",
        "<function=f><parameter=n>1</function>",
        '<function name="&nothing;"></function>',
        "<function=f>\x00</function>",
        '<function=f></function name="f">',
    ],
)
def test_a_body_that_is_no_xml_ends_the_reply(body: str) -> None:
    with pytest.raises(ParserError):
        Qwen3CoderParser(DEFAULT).add(f"<tool_call>{body}</tool_call>", False)


REPLIES = [
    (Qwen3CoderParser, DEFAULT, f"a \n{a_call('')}\n{a_call('')}", Read("a", "", (("f", {}),) * 2)),
    (Qwen3CoderParser, DEFAULT, "a <tool_ca b <tool_call>c", Read("a <tool_ca b")),
    (Qwen3CoderParser, DEFAULT, "<think>a</think> b", Read("<think>a</think> b")),
    (Qwen35Parser, DEFAULT, f" <think>\n a \n</think>\n\nb\n{a_call('')}", Read("b", "a", (("f", {}),))),
    (Qwen35Parser, DEFAULT, "a</think>", Read("", "a")),
    (Qwen35Parser, DEFAULT, "a </thin b", Read("", "a </thin b")),
    (Qwen35Parser, MUTE, "a</think>b", Read("a</think>b")),
    (Qwen35Parser, CONTINUED, "a</think>b", Read("a</think>b")),
    (NemotronParser, DEFAULT, f"<think> \na \n</think>\n b\n{a_call('')}", Read("b", "a", (("f", {}),))),
    (NemotronParser, DEFAULT, f"a\n{a_call('')}", Read("", "a", (("f", {}),))),
    (NemotronParser, MUTE, "a</think>b", Read("a</think>b")),
    (NemotronParser, CONTINUED, "a</think>b", Read("a</think>b")),
]


@pytest.mark.parametrize(("parser", "expectations", "text", "expected"), REPLIES)
def test_a_reply_reads_the_same_however_it_is_cut(
    parser: type[Qwen3CoderParser], expectations: Expectations, text: str, expected: Read
) -> None:
    for runs in splits(text):
        assert read(parser(expectations), runs) == expected, runs


def test_a_call_ends_the_thoughts_of_qwen3_5_unless_a_run_ends_within_another_tag() -> None:
    assert read(Qwen35Parser(DEFAULT), ["a ", a_call("")]) == Read("", "a", (("f", {}),))
    assert read(Qwen35Parser(DEFAULT), ["a<tool_call><", "function=f>"]) == Read("", "a<tool_call><function=f>")


def test_what_is_certain_is_told_at_once() -> None:
    parser = Qwen35Parser(DEFAULT)
    runs = [parser.add(text, False) for text in ("a ", "b\n</th", "c</think>", "\n", "d ", "e <tool")]
    assert [run.thinking for run in runs] == ["a", " b", "\n</thc", "", "", ""]
    assert [run.content for run in runs] == ["", "", "", "", "d", " e"]
