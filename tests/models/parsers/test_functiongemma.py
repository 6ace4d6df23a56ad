from __future__ import annotations

from typing import Any

import pytest

from models.parsers.functiongemma import FunctionGemmaParser
from models.parsers.steps import Expectations
from tests.models.parsers.reading import Read, read
from tests.models.parsers.splitting import splits


def a_call(text: str) -> str:
    return f"<start_function_call>{text}<end_function_call>"


def read_reply(runs: list[str]) -> Read:
    return read(FunctionGemmaParser(Expectations()), runs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <start of b", Read("a <start of b")),
        (f"a {a_call('call:f{n:1}')}", Read("a ", "", (("f", {"n": 1}),))),
        (f"{a_call('call:f{}')}{a_call('nothing')}", Read("", "", (("f", {}), ("", {})))),
        (f"{a_call('call:f{}')} b", Read(" b", "", (("f", {}),))),
    ],
)
def test_a_reply_reads_the_same_however_it_is_cut(text: str, expected: Read) -> None:
    for runs in splits(text):
        assert read_reply(runs) == expected, runs


ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("a:<escape>b, {c:d}<escape>,e:f g", {"a": "b, {c:d}", "e": "f g"}),
    ("a:true,b:false,c:True", {"a": True, "b": False, "c": "True"}),
    ("a:-7,b:007,c:2.50,d:12abc,e:1e3x, f:1", {"a": -7, "b": 7, "c": 2.5, "d": 12, "e": 1000, " f": 1}),
    ("a:0x10p0,b:.5,c:-,d:e5,e:nan", {"a": 16, "b": 0.5, "c": "-", "d": "e5", "e": "nan"}),
    ("a:9223372036854775807,b:9223372036854775808", {"a": 2**63 - 1, "b": float(2**63)}),
    ("a:[1,<escape>b<escape>,[]],b:{c:{d:1},e:x}", {"a": [1, "b", []], "b": {"c": {"d": 1}, "e": "x"}}),
    ("a:b:c,,d,e:", {"a": "b:c", "e": ""}),
    ("a:<escape>", {"a": ""}),
]


@pytest.mark.parametrize(("text", "arguments"), ARGUMENTS)
def test_arguments_are_what_they_look_like(text: str, arguments: dict[str, Any]) -> None:
    assert read_reply([a_call(f"call:f{{{text}}}")]) == Read(calls=(("f", arguments),))


def test_hostile_depth_is_text() -> None:
    reply = read_reply([a_call("call:f{a:" + "[" * 5000 + "]" * 5000 + "}")])
    assert len(reply.calls) == 1


def test_text_before_another_call_in_the_same_run_is_lost() -> None:
    calls: tuple[tuple[str, dict[str, Any]], ...] = (("f", {}), ("g", {}))
    assert read_reply([f"{a_call('call:f{}')} a {a_call('call:g{}')}"]) == Read("", "", calls)
    assert read_reply([a_call("call:f{}"), f" a {a_call('call:g{}')}"]) == Read(" a ", "", calls)
