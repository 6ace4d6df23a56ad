from __future__ import annotations

from typing import Any

import pytest

from models.parsers.olmo3 import Olmo3Parser, Olmo3ThinkParser
from models.parsers.steps import Expectations, Step
from models.templates.chat import Message

ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("a=1, b=-2.5, c=1e3", {"a": 1, "b": -2.5, "c": 1000.0}),
    ("a=True, b=false, c=None, d=nil", {"a": True, "b": False, "c": None, "d": None}),
    (r"""a="x, \"y\"\n", b='(\\n'""", {"a": 'x, "y"\n', "b": r"(\n"}),
    ("a=[1, 'x', [2]], b={'k': {n: 1}}, c=[]", {"a": [1, "x", [2]], "b": {"k": {"n": 1}}, "c": []}),
    ("a=bare words, b=inf, c=", {"a": "bare words", "b": "inf", "c": ""}),
    ("a=b=c,", {"a": "b=c"}),
    ("a=99999999999999999999", {"a": 1e20}),
    ('a="', {"a": '"'}),
]


@pytest.mark.parametrize(("text", "arguments"), ARGUMENTS)
def test_arguments_are_read(text: str, arguments: dict[str, Any]) -> None:
    step = Olmo3Parser(Expectations()).add(f"<function_calls>f({text})</function_calls>", False)
    assert [(call.name, call.arguments) for call in step.calls] == [("f", arguments)]


@pytest.mark.parametrize("line", ["f", "f(1)", "f(a=1) g", "f.g(a=1)", "f(a={b})"])
def test_a_line_that_is_no_call_discards_its_block(line: str) -> None:
    step = Olmo3Parser(Expectations()).add(f"a<function_calls>f()\n{line}</function_calls>b", False)
    assert step == Step("ab")


def test_deep_nesting_stays_text() -> None:
    text = "[" * 5000 + "]" * 5000
    (call,) = Olmo3Parser(Expectations()).add(f"<function_calls>f(a={text})</function_calls>", False).calls
    value = call.arguments["a"]
    while isinstance(value, list):
        (value,) = value
    assert isinstance(value, str)


def test_the_last_run_is_not_parsed() -> None:
    assert Olmo3Parser(Expectations()).add("a<function_calls>f()</function_calls>", True).content.startswith("a<f")
    parser = Olmo3Parser(Expectations())
    parser.add("<function_calls>f()", False)
    assert parser.add("</function_calls>", True) == Step()


def test_text_that_could_begin_calls_waits() -> None:
    parser = Olmo3Parser(Expectations())
    assert [parser.add(text, False).content for text in ("a <func", "tion> ", " b<")] == ["a ", "<function> ", " b"]
    assert parser.add("", True) == Step("<")


def test_a_thinking_model_begins_with_its_thought() -> None:
    assert Olmo3ThinkParser(Expectations()).add("a \n</think>\n b", True) == Step("b", "a")


def test_the_continuation_of_an_answer_has_no_thought() -> None:
    begun = Expectations(last_message=Message("assistant", "So"))
    assert Olmo3ThinkParser(begun).add("a</think>b", True) == Step("a</think>b")
