from __future__ import annotations

import pytest

from models.parsers.errors import ParserError
from models.parsers.qwen3 import QWEN3, QWEN3_THINKING, QWEN3_VL_INSTRUCT, QWEN3_VL_THINKING
from models.parsers.steps import Expectations, ParserKind
from models.templates.chat import Message, Think
from tests.models.parsers.reading import Read, read
from tests.models.parsers.splitting import splits

DEFAULT, MUTE = Expectations(), Expectations(think=Think(False))
CONTINUED = Expectations(last_message=Message("assistant", "So"))
CALL = '<tool_call>\n{"name": "f", "arguments": {"b": 1, "a": [null]}}\n</tool_call>'
CALLED = ("f", {"b": 1, "a": [None]})

REPLIES = [
    (QWEN3, DEFAULT, f"a\n{CALL}{CALL}", Read("a", "", (CALLED, CALLED))),
    (QWEN3, Expectations(think=Think(True)), "a</think>b", Read("a</think>b")),
    (QWEN3_THINKING, DEFAULT, "a \n</think>\n\nb", Read("b", "a")),
    (QWEN3_THINKING, DEFAULT, " <think>a</think>b", Read("b", "a")),
    (QWEN3_THINKING, DEFAULT, f"a\n{CALL}b", Read("b", "a", (CALLED,))),
    (QWEN3_THINKING, MUTE, "a</think>b", Read("a</think>b")),
    (QWEN3_VL_INSTRUCT, DEFAULT, f"a \n{CALL}\n {CALL}\nb", Read("ab", "", (CALLED, CALLED))),
    (QWEN3_VL_THINKING, DEFAULT, f"a\n{CALL}\nb</think>", Read("b</think>", "a", (CALLED,))),
    (QWEN3_VL_THINKING, MUTE, "a </think> b", Read("b", "a")),
    (QWEN3_VL_THINKING, CONTINUED, "a</think>b", Read("a</think>b")),
    (QWEN3_VL_THINKING, DEFAULT, "<think>a", Read("", "<think>a")),
]


@pytest.mark.parametrize(("kind", "expectations", "text", "expected"), REPLIES)
def test_a_reply_reads_the_same_however_it_is_cut(
    kind: ParserKind, expectations: Expectations, text: str, expected: Read
) -> None:
    for runs in splits(text):
        assert read(kind.make(expectations), runs) == expected, runs


@pytest.mark.parametrize("kind", [QWEN3, QWEN3_VL_INSTRUCT])
@pytest.mark.parametrize("body", ["", "f", "[]", '{"name": 1}', '{"name": "f", "arguments": []}', '{"name": "f"} {}'])
def test_a_body_that_is_no_call_ends_the_reply(kind: ParserKind, body: str) -> None:
    with pytest.raises(ParserError):
        kind.make(DEFAULT).add(f"<tool_call>{body}</tool_call>", False)


def test_a_call_needs_a_name_only_in_qwen3() -> None:
    with pytest.raises(ParserError, match=r"^empty function name$"):
        QWEN3.make(DEFAULT).add('<tool_call>{"arguments": {}}</tool_call>', False)
    assert read(QWEN3_VL_INSTRUCT.make(DEFAULT), ["<tool_call>{}</tool_call>"]) == Read(calls=(("", {}),))


def test_members_are_found_in_any_case() -> None:
    call = '<tool_call>{"NAME": "f", "Arguments": {"A": 1}}</tool_call>'
    assert read(QWEN3.make(DEFAULT), [call]) == Read(calls=(("f", {"A": 1}),))


def test_qwen3_looks_for_its_opening_tag_until_something_follows() -> None:
    assert read(QWEN3_THINKING.make(DEFAULT), ["<think>", "<think>", "a"]) == Read("", "a")
    assert read(QWEN3_THINKING.make(DEFAULT), ["<think>", "\n", "a"]) == Read("", "\na")
