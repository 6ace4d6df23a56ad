from __future__ import annotations

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.chatml import XML_CALLS
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.nemotron import render_nemotron_3, render_nemotron_3_5
from models.templates.schema import parse_tool

NO_SYSTEM, ASKED = "<|im_start|>system\n<|im_end|>\n", "<|im_start|>user\nU<|im_end|>\n"
TO_THINK, NOT_TO_THINK = "<|im_start|>assistant\n<think>\n", "<|im_start|>assistant\n<think></think>"
USER = Message("user", "U")


def answer(text: str) -> str:
    return f"<|im_start|>assistant\n{text}<|im_end|>\n"


@pytest.mark.parametrize(
    ("texts", "think", "thinks"),
    [
        (["a"], None, True),
        (["a"], Think(False), False),
        (["a /think"], Think(False), True),
        (["a</think>"], Think(False), False),
        (["a /no_think"], None, False),
        (["/no_think", "/think"], None, True),
        (["/think", "/no_think", "a"], None, False),
        (["/think /no_think"], Think(False), True),
    ],
)
def test_the_last_switch_in_a_message_decides(texts: list[str], think: Think | None, thinks: bool) -> None:
    prompt = render_nemotron_3(Conversation([Message("user", text) for text in texts], think=think))
    assert prompt.endswith(TO_THINK if thinks else NOT_TO_THINK)


def test_switches_are_not_printed() -> None:
    messages = [Message("system", " a /think</think>"), Message("user", "/no_think b ")]
    assert render_nemotron_3(Conversation(messages)).startswith(
        "<|im_start|>system\n a </think><|im_end|>\n<|im_start|>user\nb<|im_end|>\n"
    )


def test_the_newer_version_has_no_switches_but_a_mark_for_medium_effort() -> None:
    messages = [Message("user", "/no_think b "), USER]
    assert render_nemotron_3_5(Conversation(messages, think=Think(True, "medium"))) == (
        f"{NO_SYSTEM}<|im_start|>user\n/no_think b <|im_end|>\n"
        "<|im_start|>user\nU\n\n{reasoning effort: efficient}<|im_end|>\n" + TO_THINK
    )
    assert "efficient" not in render_nemotron_3_5(Conversation(messages, think=Think(True)))


@pytest.mark.parametrize(
    ("message", "old", "current"),
    [
        (Message("assistant", " A "), "<think></think> A", "<think></think> A"),
        (Message("assistant", " A ", "T"), "<think></think>\n A", "<think>\nT\n</think>\n A"),
        (Message("assistant", "<think>T</think>A"), "<think></think>A", "<think>T</think>A"),
        (Message("assistant", "T</think>A"), "T</think>A", "T</think>A"),
    ],
)
def test_old_thoughts_are_left_out(message: Message, old: str, current: str) -> None:
    prompt = render_nemotron_3(Conversation([message, USER, message]))
    assert prompt == NO_SYSTEM + answer(old) + ASKED + answer(current) + TO_THINK


def test_old_thoughts_before_calls_are_left_out_too() -> None:
    call = ToolCall("f", {"a": None, "b": [True, {"k": "<é\n>"}], "c": 1e6, "d": False})
    message = Message("assistant", " A ", "T", tool_calls=(call,))
    xml = (
        "<tool_call>\n<function=f>\n<parameter=a>\nNone\n</parameter>\n"
        '<parameter=b>\n[true, {"k": "<é\\n>"}]\n</parameter>\n<parameter=c>\n1e+06\n</parameter>\n'
        "<parameter=d>\nFalse\n</parameter>\n</function>\n</tool_call>\n"
    )
    prompt = render_nemotron_3_5(Conversation([message, USER, message]))
    assert prompt == (
        NO_SYSTEM + answer(f"<think></think>A\n{xml}") + ASKED + answer(f"<think>\nT</think> A\n{xml}") + TO_THINK
    )


def test_results_of_tools_share_a_turn() -> None:
    results = [Message("tool", "1"), Message("tool", "2", images=(b"",))]
    assert render_nemotron_3(Conversation([USER, *results])) == (
        f"{NO_SYSTEM}{ASKED}<|im_start|>user\n<tool_response>\n1\n</tool_response>\n"
        f"<tool_response>\n[img-0] 2\n</tool_response>\n<|im_end|>\n{TO_THINK}"
    )


def test_tools_are_written_in_xml() -> None:
    parameters = {
        "$defs": {"b": 1, "a": None},
        "required": ["x"],
        "properties": {"x": {"type": ["string", "null"], "description": " X ", "enum": ["a", 1]}, "y": {"items": {}}},
    }
    tool = parse_tool({"function": {"name": "f", "description": " D ", "parameters": parameters}})
    prompt = render_nemotron_3(Conversation([Message("system", "S"), USER], [tool], Think(False)))
    assert prompt == (
        "<|im_start|>system\nS\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>"
        "\n<function>\n<name>f</name>\n<description>D</description>\n<parameters>\n<parameter>\n<name>x</name>"
        "\n<type>['string', 'null']</type>\n<description>X</description>\n<enum>[\"a\", 1]</enum>\n</parameter>"
        "\n<parameter>\n<name>y</name>\n<items>{}</items>\n</parameter>"
        '\n<$defs>{"a": null, "b": 1}</$defs>\n<required>["x"]</required>\n</parameters>\n</function>\n</tools>'
        f"{XML_CALLS}<|im_end|>\n{ASKED}{NOT_TO_THINK}"
    )
