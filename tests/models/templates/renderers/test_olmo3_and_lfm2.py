from __future__ import annotations

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.lfm2 import BOS, render_lfm2, render_lfm2_thinking
from models.templates.renderers.olmo3 import render_olmo3, render_olmo3_think

USER, OPENING = "<|im_start|>user\nq<|im_end|>\n", "<|im_start|>assistant\n"
QUESTION, SYSTEM, RESULT = Message("user", "q"), Message("system", "s"), Message("tool", "r")
CALLS = (ToolCall("f", {"b": "<x>", "a": [1.5]}), ToolCall("g"))
CALLED = Message("assistant", "c", tool_calls=CALLS)

OLMO3 = [
    ([SYSTEM, QUESTION, SYSTEM], f"{USER}{OPENING}"),
    ([SYSTEM, QUESTION, Message("assistant", "a")], f"{USER}{OPENING}a"),
    ([SYSTEM, QUESTION, Message("assistant", "")], f"{USER}{OPENING}{OPENING}"),
    (
        [SYSTEM, CALLED],
        f'{OPENING}c<function_calls>f(a=[1.5], b="\\u003cx\\u003e")\ng()</function_calls><|im_end|>\n{OPENING}',
    ),
    ([SYSTEM, RESULT, Message("other", "o")], f"<|im_start|>environment\nr<|im_end|>\n{OPENING}"),
]


@pytest.mark.parametrize(("messages", "expected"), OLMO3)
def test_olmo3(messages: list[Message], expected: str) -> None:
    assert render_olmo3(Conversation(messages)) == f"<|im_start|>system\ns<|im_end|>\n{expected}"


def test_olmo3_knows_an_empty_system_message_from_none() -> None:
    assert render_olmo3(Conversation([Message("system"), QUESTION])).startswith("<|im_start|>system\n<|im_end|>")
    assert "function-calling AI assistant" in render_olmo3(Conversation([QUESTION]))


def test_olmo3_that_thinks_closes_every_answer_and_sees_no_tools() -> None:
    prompt = render_olmo3_think(Conversation([SYSTEM, QUESTION, CALLED, RESULT, Message("assistant", "a")]))
    answers = f"{OPENING}c<|im_end|>\n{OPENING}a<|im_end|>\n"
    assert prompt.endswith(f"<functions></functions><|im_end|>\n{USER}{answers}{OPENING}<think>")


LFM2 = [
    ([], OPENING),
    ([QUESTION, Message("assistant", "a")], f"{USER}{OPENING}a"),
    (
        [CALLED],
        f'{OPENING}<|tool_call_start|>[f(a=[1.5],b="<x>"),g()]<|tool_call_end|>\nc',
    ),
    ([Message("tool", "<|tool_response_start|>r")], f"<|im_start|>tool\n<|tool_response_start|>r<|im_end|>\n{OPENING}"),
    (
        [Message("assistant", "t</think> a </think> b "), Message("assistant", "t</think>c"), QUESTION],
        f"{OPENING}b<|im_end|>\n{OPENING}t</think>c<|im_end|>\n{USER}{OPENING}",
    ),
]


@pytest.mark.parametrize(("messages", "expected"), LFM2)
def test_lfm2(messages: list[Message], expected: str) -> None:
    assert render_lfm2(Conversation(messages)) == BOS + expected


def test_lfm2_numbers_images_of_the_system_message_too() -> None:
    messages = [Message("system", "s", images=(b"1",)), Message("user", "q", images=(b"2",))]
    assert "[img-1] q" in render_lfm2(Conversation(messages))
    assert "<image>q" in render_lfm2(Conversation(messages, tags_images=False))


@pytest.mark.parametrize(("think", "shown"), [(Think(True), "<think>t</think>a"), (None, "a")])
def test_lfm2_that_thinks_keeps_earlier_thoughts_while_it_thinks(think: Think | None, shown: str) -> None:
    answer = Message("assistant", "a", thinking="t")
    prompt = render_lfm2_thinking(Conversation([answer, QUESTION, answer], think=think))
    assert prompt == f"{BOS}{OPENING}{shown}<|im_end|>\n{USER}{OPENING}<think>t</think>a"


def test_a_tool_without_a_name_is_shown_whole() -> None:
    tool = {"type": "function", "function": {"name": "", "parameters": {"type": "", "properties": None}}}
    shown = '[{"type": "function", "function": {"name": "", "parameters": {"type": "", "properties": null}}}]'
    assert shown in render_lfm2(Conversation([QUESTION], [tool]))
