from __future__ import annotations

import pytest

from models.parsers.cohere import CohereParser
from models.parsers.steps import Expectations, Step
from models.templates.chat import Message, Think
from tests.models.parsers.reading import Read, read

THOUGHT = "a \n<|END_THINKING|>"
PLAIN = Expectations(think=Think(False))
ACTION = "<|START_ACTION|>"

REPLIES: list[tuple[Expectations, str, Read]] = [
    (Expectations(), f"{THOUGHT}<|START_TEXT|> b <|END_TEXT|>", Read(" b ", "a")),
    (Expectations(), f"{THOUGHT}<|START_RESPONSE|>b<|END_RESPONSE|>", Read("b", "a")),
    (Expectations(), f"{THOUGHT} b <|END_TEXT|> \n c", Read("b c", "a")),
    (Expectations(), f"{THOUGHT}<|END_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|>b", Read("b", "a")),
    (Expectations(), f"{THOUGHT}<|START_", Read("<|START_", "a")),
    (PLAIN, "<|START_TEXT|>b", Read("b")),
    (PLAIN, "b<|END_TEXT", Read("b<|END_TEXT")),
    (Expectations(last_message=Message("assistant", "So")), " b<|END_OF_TURN_TOKEN|>", Read(" b")),
    (
        PLAIN,
        f'{ACTION}[{{"Tool_Name": "f", "parameters": {{"a": 1}}}}]<|END_ACTION|>b',
        Read("b", "", (("f", {"a": 1}),)),
    ),
    (
        PLAIN,
        f'{ACTION}[{{"tool_name": "f"}}, {{"tool_name": "g", "parameters": {{}}}}]',
        Read("", "", (("f", {}), ("g", {}))),
    ),
    (
        PLAIN,
        f'{ACTION}[{{"tool_name": 1}}, {{"tool_name": "g"}} x {{"a": "}}"]<|END_ACTION|>',
        Read("", "", (("g", {}),)),
    ),
    (PLAIN, f"{ACTION}so<|END_ACTION|>", Read()),
]


@pytest.mark.parametrize(("expectations", "text", "expected"), REPLIES)
def test_a_reply_is_read(expectations: Expectations, text: str, expected: Read) -> None:
    assert read(CohereParser(expectations), [text]) == expected


@pytest.mark.parametrize(("expectations", "text", "expected"), REPLIES[:5])
def test_it_makes_no_difference_how_a_reply_is_cut(expectations: Expectations, text: str, expected: Read) -> None:
    assert read(CohereParser(expectations), text) == expected


def test_calls_keep_the_ids_that_the_model_gives() -> None:
    step = CohereParser(PLAIN).add(f'{ACTION}[{{"tool_call_id": "7", "tool_name": "f"}}]<|END_ACTION|>', False)
    assert [(call.id, call.index) for call in step.calls] == [("7", 0)]


def test_what_comes_before_text_in_one_run_is_dropped() -> None:
    text = f'{ACTION}[{{"tool_name": "f"}}]<|END_ACTION|><|START_TEXT|>b'
    assert CohereParser(PLAIN).add(text, True) == Step("b")
