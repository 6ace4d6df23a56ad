from __future__ import annotations

from collections.abc import Callable

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.glm import render_glm_4_7, render_glm_ocr
from models.templates.schema import parse_tool

START = "[gMASK]<sop>"
CALLING = Message("assistant", " A ", " T ", tool_calls=(ToolCall("f", {"b": " x ", "a": {"k": "<"}}), ToolCall("g")))
CHAT = [Message("system", "S"), Message("user", "U"), CALLING, Message("tool", "1"), Message("tool", "2")]
ARGUMENTS = '<arg_key>b</arg_key><arg_value> x </arg_value><arg_key>a</arg_key><arg_value>{"k":"\\u003c"}</arg_value>'


def test_glm_4_7_writes_everything_on_one_line() -> None:
    assert render_glm_4_7(Conversation([*CHAT, Message("assistant", "A"), Message("critic", "C")])) == (
        f"{START}<|system|>S<|user|>U<|assistant|><think> T </think> A <tool_call>f{ARGUMENTS}</tool_call>"
        "<tool_call>g</tool_call><|observation|><tool_response>1</tool_response><tool_response>2</tool_response>"
        "<|assistant|></think>A<|assistant|><think>"
    )


def test_glm_ocr_writes_lines() -> None:
    assert render_glm_ocr(Conversation([*CHAT, Message("assistant")])) == (
        f"{START}<|system|>\nS\n<|user|>\nU<|assistant|>\n<think>T</think>\nA\n<tool_call>f{ARGUMENTS}</tool_call>"
        "\n<tool_call>g</tool_call>\n<|observation|>\n<tool_response>\n1\n</tool_response>\n"
        "\n<tool_response>\n2\n</tool_response>\n<|assistant|>\n<think></think>\n<|assistant|>\n"
    )


def test_not_to_think_is_said() -> None:
    mute = Think(False)
    asked, marked = Message("user", "U", images=(b"",)), Message("user", "V/nothink")
    assert render_glm_4_7(Conversation([asked], think=mute)) == f"{START}<|user|>U<|assistant|></think>"
    assert render_glm_ocr(Conversation([asked, marked], think=mute)) == (
        f"{START}<|user|>\n[img-0] U/nothink<|user|>\nV/nothink<|assistant|>\n<think></think>\n"
    )


@pytest.mark.parametrize("render", [render_glm_4_7, render_glm_ocr])
def test_tools_come_first(render: Callable[[Conversation], str]) -> None:
    tool = parse_tool({"type": "function", "function": {"name": "f", "description": "<d>"}})
    prompt = render(Conversation([Message("system", "S")], [tool]))
    assert prompt.startswith(f"{START}<|system|>\n# Tools\n")
    assert (
        '<tools>\n{"type": "function", "function": {"name": "f", "description": "\\u003cd\\u003e", '
        '"parameters": {"type": "", "properties": null}}}\n</tools>\n' in prompt
    )
    assert "...</tool_call><|system|>" in prompt
