from __future__ import annotations

from typing import Any

import pytest

from models.parsers.lfm2 import LFM2, LFM2_THINKING, parse_calls
from models.parsers.steps import Expectations, Step
from models.templates.chat import Message, Think

BEGIN, END = "<|tool_call_start|>", "<|tool_call_end|>"
F = {"type": "function", "function": {"name": "f", "parameters": {}}}

CALLS: list[tuple[str, list[tuple[str, dict[str, Any]]]]] = [
    ("f()", [("f", {})]),
    ("[f(a=1), g(b=2)]", [("f", {"a": 1}), ("g", {"b": 2})]),
    (f"{BEGIN}[f()]{END}", [("f", {})]),
    (r"f(a='it\'s', b=\"no\")".replace(r"\"", '"'), [("f", {"a": r"it\'s", "b": "no"})]),
    ("f(a=')', b=(1))", [("f", {"a": ")", "b": "(1)"})]),
    ("f(a=True, b=None, c=1.5, d=word word)", [("f", {"a": True, "b": None, "c": 1.5, "d": "word word"})]),
    ('f(a=["x", 1], b={"k": [true]})', [("f", {"a": ["x", 1], "b": {"k": [True]}})]),
    ("""f(a=['"', True], b={'it\\'s': None})""", [("f", {"a": ['"', True], "b": {"it's": None}})]),
    ("f(a=[x], b={)", [("f", {"a": "[x]", "b": "{"})]),
    ("f( a = 'x' ,\n b = 2 )", [("f", {"a": "x", "b": 2})]),
]


@pytest.mark.parametrize(("text", "calls"), CALLS)
def test_calls_are_read(text: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    assert parse_calls(text) == calls


@pytest.mark.parametrize("text", ["", "[]", "f", "f(", "(a=1)", "f(1)", "f('x')", "f(a=1", "f(a=1) g"])
def test_other_text_is_no_call(text: str) -> None:
    with pytest.raises(ValueError):
        parse_calls(text)


def runs(expectations: Expectations, *texts: str) -> list[Step]:
    parser = LFM2_THINKING.make(expectations)
    return [parser.add(text, i == len(texts) - 1) for i, text in enumerate(texts)]


def test_thoughts_lose_the_whitespace_around_them() -> None:
    thinking = Expectations(think=Think(True))
    steps = runs(thinking, " <thi", "nk>", "\n", " a ", "</think>", "\n", " b ", "")
    assert [(step.thinking, step.content) for step in steps if step != Step()] == [("a", ""), ("", "b ")]


def test_text_that_only_resembles_a_thought_is_content() -> None:
    assert runs(Expectations(think=Think(True)), " <thi", "s>") == [Step(), Step("<this>")]
    assert runs(Expectations(think=Think(True)), " <thi") == [Step(" <thi")]


@pytest.mark.parametrize(
    "expectations",
    [Expectations(), Expectations(think=Think(False)), Expectations((), Message("assistant", "So"), Think(True))],
)
def test_without_thinking_all_is_content(expectations: Expectations) -> None:
    assert runs(expectations, "<think>a</think>b") == [Step("<think>a</think>b")]


def test_blocks_of_calls_may_follow_one_another() -> None:
    step = LFM2.make(Expectations()).add(f"a {BEGIN}f(){END}{BEGIN}[g(),h()]{END} b", False)
    assert (step.content, [(call.index, call.name) for call in step.calls]) == ("ab", [(0, "f"), (1, "g"), (2, "h")])


def test_a_block_that_cannot_be_read_swallows_the_rest() -> None:
    parser = LFM2.make(Expectations())
    assert [parser.add(text, False) for text in (f"a{BEGIN}f{END}b", "c")] == [Step("a"), Step()]


def test_a_last_run_of_nothing_but_declared_calls_needs_no_tokens() -> None:
    assert [call.name for call in LFM2.make(Expectations([F])).add(" [f(a=1)] ", True).calls] == ["f"]
    for expectations, text in ((Expectations(), "f()"), (Expectations([F]), "g()"), (Expectations([F]), "so f()")):
        assert LFM2.make(expectations).add(text, True) == Step(text)
