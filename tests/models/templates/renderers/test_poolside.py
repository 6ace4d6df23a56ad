from __future__ import annotations

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.poolside import BOS, render_laguna, render_poolside_v1
from models.templates.schema import parse_tool

BLANK, USER, THINK = Message("system", " "), Message("user", "U"), Think(True)
TOOL = parse_tool({"type": "function", "function": {"name": "f"}})
TOOL_LINE = '{"type": "function", "function": {"name": "f", "parameters": {"type": "", "properties": null}}}\n'
CALL = ToolCall("f", {"a": "x", "b": [1, "<"]})
ASKED = "<user>\nU\n</user>\n"


@pytest.mark.parametrize(
    ("messages", "think", "prompt"),
    [
        ([BLANK, USER], None, f"{ASKED}<assistant>\n</think>"),
        ([BLANK, USER], THINK, f"{ASKED}<assistant>\n<think>"),
        ([Message("system", "\nS\n"), USER], None, f"<system>\n\n\nS\n</system>\n{ASKED}<assistant>\n</think>"),
        ([BLANK, BLANK], None, "<system>\n \n</system>\n<assistant>\n</think>"),
        ([BLANK, Message("tool", "1")], None, "<tool_response>\n1\n</tool_response>\n<assistant>\n</think>"),
        ([BLANK, Message("assistant", " A ")], None, "<assistant>\n</think>\nA\n"),
        ([BLANK, Message("assistant")], None, "<assistant>\n</think>\n</assistant>\n"),
        ([BLANK, Message("assistant", "a<think>\nT\n</think>\n\nA")], None, "<assistant>\n<think>\nT\n</think>\nA\n"),
        ([BLANK, Message("assistant", "a</think>b</think>A", "T")], None, "<assistant>\n<think>\nT\n</think>\nA\n"),
        (
            [BLANK, Message("assistant", tool_calls=(CALL,)), USER],
            None,
            "<assistant>\n</think>\n<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n"
            '<arg_key>b</arg_key>\n<arg_value>[1, "\\u003c"]</arg_value>\n</tool_call>\n</assistant>\n'
            f"{ASKED}<assistant>\n</think>",
        ),
    ],
)
def test_laguna_writes_lines(messages: list[Message], think: Think | None, prompt: str) -> None:
    assert render_laguna(Conversation(messages, think=think)) == BOS + prompt


@pytest.mark.parametrize(("think", "begins"), [(None, "For each"), (THINK, "Wrap your thinking in")])
def test_laguna_is_told_how_to_call(think: Think | None, begins: str) -> None:
    prompt = render_laguna(Conversation([BLANK, USER], [TOOL], think))
    assert prompt.startswith(f"{BOS}<system>\n\n\n### Tools\n")
    assert f"<available_tools>\n{TOOL_LINE}</available_tools>\n\n{begins}" in prompt


def test_a_chat_without_a_system_message_has_the_default_one() -> None:
    for render in (render_laguna, render_poolside_v1):
        assert "assistant made by Poolside" in render(Conversation([USER]))
        assert "assistant made by Poolside" not in render(Conversation([BLANK, USER]))


@pytest.mark.parametrize(
    ("messages", "think", "prompt"),
    [
        ([BLANK, USER], None, "<user>U</user>\n<assistant></think>"),
        ([BLANK, USER], THINK, "<system></system>\n<user>U</user>\n<assistant><think>"),
        (
            [Message("system", "S "), Message("assistant", " A ", tool_calls=(CALL,)), Message("tool", "1")],
            THINK,
            "<system>S</system>\n<assistant><think></think> A <tool_call>f<arg_key>a</arg_key><arg_value>x</arg_value>"
            '<arg_key>b</arg_key><arg_value>[1, "\\u003c"]</arg_value></tool_call></assistant>\n'
            "<tool_response>1</tool_response>\n<assistant><think>",
        ),
        ([BLANK, Message("assistant", "A", "T")], None, "<assistant></think>A</assistant>\n<assistant></think>"),
    ],
)
def test_poolside_v1_writes_a_line_for_each_message(messages: list[Message], think: Think | None, prompt: str) -> None:
    assert render_poolside_v1(Conversation(messages, think=think)) == BOS + prompt


def test_poolside_v1_lists_tools() -> None:
    prompt = render_poolside_v1(Conversation([Message("system", "S\n"), USER], [TOOL]))
    assert prompt.startswith(f"{BOS}<system>S\n\n### Tools\n")
    assert f"<available_tools>\n{TOOL_LINE}</available_tools></system>\n" in prompt
