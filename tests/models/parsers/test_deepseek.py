# ruff: noqa: RUF001
# The tokens of these models are written with a fullwidth bar.

from __future__ import annotations

import pytest

from models.parsers.deepseek import CogitoParser, DeepSeekParser
from models.parsers.steps import Expectations, Step
from models.templates.chat import Message, Think

THINKING = Expectations(think=Think(True))
WITH_TOOLS = Expectations([{"type": "function", "function": {"name": "f", "parameters": {}}}], think=Think(True))
CONTINUED = Expectations(last_message=Message("assistant", "So"), think=Think(True))
BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"


def a_call(text: str) -> str:
    return f"<｜tool▁call▁begin｜>{text}<｜tool▁call▁end｜>"


DEEPSEEK_CALL = a_call(' f <｜tool▁sep｜> {"a": [1]} ')
COGITO_CALL = a_call('function<｜tool▁sep｜> f \n```json\n{"a": [1]}\n```')

DEEPSEEK = [
    (THINKING, "a \n</think>\n b", ("b", "a", [])),
    (THINKING, "a</thin", ("", "a", [])),
    (CONTINUED, "a</think>b", ("a</think>b", "", [])),
    (Expectations(), "a</think>b", ("a</think>b", "", [])),
    (WITH_TOOLS, "a</think>b", ("b", "a", [])),
    (Expectations(), f"b \n{BEGIN}{DEEPSEEK_CALL}\n{DEEPSEEK_CALL}{END} c", ("bc", "", [("f", {"a": [1]})] * 2)),
    (Expectations(), f"b{BEGIN}{a_call('f')}{DEEPSEEK_CALL}{END}c", ("bc", "", [])),
    (Expectations(), f"b{BEGIN}{a_call('f<｜tool▁sep｜>[1]')}{END}c", ("bc", "", [])),
    (Expectations(), f"b{BEGIN}{DEEPSEEK_CALL}", ("b", "", [("f", {"a": [1]})])),
    (Expectations(), "b <｜tool▁output▁begin｜> o <｜tool▁output▁end｜> c", ("b  o  c", "", [])),
    (Expectations(), "b <｜tool▁output▁begin｜> o ", ("b ", "", [])),
]

COGITO = [
    (THINKING, "a \n</think>\n b", ("b", "a", [])),
    (WITH_TOOLS, "a</think>b", ("a</think>b", "", [])),
    (CONTINUED, "a</think>b", ("a</think>b", "", [])),
    (Expectations(), f"b {BEGIN}{COGITO_CALL}\n{COGITO_CALL}{END} c", ("bc", "", [("f", {"a": [1]})] * 2)),
    (Expectations(), f"b{BEGIN}{a_call('function<｜tool▁sep｜>f{}')}{COGITO_CALL}{END}c", ("bc", "", [])),
    (
        Expectations(),
        "b <｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>o<｜tool▁output▁end｜>\n<｜tool▁outputs▁end｜> c",
        ("bc", "", []),
    ),
]


@pytest.mark.parametrize(
    ("parser", "expectations", "text", "expected"),
    [*((DeepSeekParser, *row) for row in DEEPSEEK), *((CogitoParser, *row) for row in COGITO)],
)
def test_a_reply_is_read(
    parser: type[DeepSeekParser | CogitoParser],
    expectations: Expectations,
    text: str,
    expected: tuple[str, str, list[tuple[str, object]]],
) -> None:
    step = parser(expectations).add(text, True)
    assert (step.content, step.thinking, [(call.name, call.arguments) for call in step.calls]) == expected
    assert [call.index for call in step.calls] == list(range(len(step.calls)))


@pytest.mark.parametrize("parser", [DeepSeekParser, CogitoParser])
def test_thoughts_are_told_as_soon_as_they_are_certain(parser: type[DeepSeekParser | CogitoParser]) -> None:
    reader = parser(THINKING)
    runs = [reader.add(text, False) for text in ("a \n", "b </", "c</think>", " d", f"e{BEGIN[:6]}", BEGIN[6:])]
    assert [run.thinking for run in runs] == ["a", " \nb", " </c", "", "", ""]
    assert [run.content for run in runs] == ["", "", "", " d", f"e{BEGIN[:6]}", BEGIN[6:]]


def test_a_call_is_told_when_it_is_complete() -> None:
    reader = DeepSeekParser(Expectations())
    assert reader.add(f"{BEGIN}{DEEPSEEK_CALL[:-1]}", False) == Step()
    assert [call.name for call in reader.add(DEEPSEEK_CALL[-1], False).calls] == ["f"]
