from __future__ import annotations

from typing import Any

import pytest

from models.parsers.gemma4 import GEMMA4, GEMMA4_NO_THINKING
from models.parsers.gemma4_calls import parse_gemma4_call
from models.parsers.steps import Expectations, ParserKind
from models.templates.chat import Message, Think
from tests.models.parsers.reading import Read, read
from tests.models.parsers.splitting import splits
from tests.models.parsers.toolbox import tool

THINKING, MUTE = Expectations(think=Think(True)), Expectations()
AFTER_RESULT = Expectations(think=Think(True), last_message=Message("tool", "3C"))
CALL = '<|tool_call>call:f{a:<|"|>b<|"|>}<tool_call|>'
CALLED = ("f", {"a": "b"})

REPLIES = [
    (GEMMA4, THINKING, "<|channel>thought\na\n<channel|>b", Read("b", "a")),
    (GEMMA4, THINKING, "<|channel>a<channel|>b<|channel>c", Read("b", "ac")),
    (GEMMA4, THINKING, "a <|chan", Read("a <|chan")),
    (GEMMA4, MUTE, "<|channel>thought\na<channel|>b", Read("b")),
    (GEMMA4_NO_THINKING, THINKING, "<|channel>a<channel|>b", Read("b")),
    (GEMMA4, AFTER_RESULT, "a<channel|>b", Read("b", "a")),
    (GEMMA4, THINKING, f"<|channel>a<channel|>{CALL}{CALL}", Read("", "a", (CALLED, CALLED))),
    (GEMMA4, MUTE, f"{CALL}\n<|tool_response> <tool_call|>b", Read("b", "", (CALLED,))),
    (GEMMA4, MUTE, f"{CALL}<|tool_resp", Read("", "", (CALLED,))),
    (GEMMA4, MUTE, CALL.removesuffix("<tool_call|>"), Read("", "", (CALLED,))),
    (GEMMA4, MUTE, "<|tool_call>f(1)<tool_call|>a", Read("a")),
]


@pytest.mark.parametrize(("kind", "expectations", "text", "expected"), REPLIES)
def test_a_reply_reads_the_same_however_it_is_cut(
    kind: ParserKind, expectations: Expectations, text: str, expected: Read
) -> None:
    for runs in splits(text):
        assert read(kind.make(expectations), runs) == expected, runs


def test_within_a_run_a_thought_is_looked_for_before_a_call() -> None:
    whole, cut = f"{CALL}<|channel>a<channel|>b", [f"{CALL}", "<|channel>a<channel|>b", ""]
    assert read(GEMMA4.make(THINKING), [whole, ""]) == Read(f"{CALL}b", "a")
    assert read(GEMMA4.make(THINKING), cut) == Read("b", "a", (CALLED,))


TOOLS = Expectations([tool("f", n="integer", s="string", t="string")])

BODIES: list[tuple[str, dict[str, Any] | None]] = [
    ("{}", {}),
    ("{n:1, s:null,x_1:[true,{y:-2.5}]}", {"n": 1, "s": None, "x_1": [True, {"y": -2.5}]}),
    ('{s:<|"|>a, n:1 "b" \\ {c:\n<|"|>}', {"s": 'a, n:1 "b" \\ {c:\n'}),
    ('{s:"a, n:1"}', {"s": "a, n:1"}),
    ("{s:'a \"b\" it\\'s'}", {"s": 'a "b" it\'s'}),
    ("{s:'a'<|\"|>}", {"s": "a"}),
    ('{n:1,s:<|"|>a}', {"n": 1, "s": "a"}),
    ('{s:<|"|>a', {"s": "a"}),
    ("{s:some words,n:1}", {"s": "some words", "n": 1}),
    ("{s: some words", {"s": " some words"}),
    ('{s:some words,t:<|"|>a}', {"s": "some words", "t": "a"}),
    ("{x:some words}", None),
    ("{s:true words}", None),
    ('{s:<|"|>a,t:<|"|>b<|"|>}', None),
    ("[1]", None),
    ("{n:1e999}", None),
]


@pytest.mark.parametrize(("body", "arguments"), BODIES)
def test_arguments_are_read_and_repaired(body: str, arguments: dict[str, Any] | None) -> None:
    expected = None if arguments is None else ("f", arguments)
    assert parse_gemma4_call(f"call: f {body}", TOOLS) == expected


def test_only_a_declared_tool_can_lend_its_types() -> None:
    assert parse_gemma4_call("call:g{s:some words}", TOOLS) is None
