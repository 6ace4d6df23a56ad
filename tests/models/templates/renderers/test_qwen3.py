"""The renderers of Qwen3-Coder, Qwen3-VL, Qwen3.5, Ornith and Qwen3.8."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.errors import TemplateError
from models.templates.renderers.chatml import XML_CALLS
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.qwen3_5 import render_ornith, render_qwen3_5, render_qwen3_8
from models.templates.renderers.qwen3_coder import render_qwen3_coder
from models.templates.renderers.qwen3_vl import render_qwen3_vl_instruct, render_qwen3_vl_thinking
from models.templates.schema import parse_call, parse_tool

Render = Callable[[Conversation], str]
SYSTEM, USER = Message("system", " S "), Message("user", "U")
CALL = ToolCall("f", {"b": 1234567, "a": {"k": "<x>"}, "c": None})
CALLED = Message("assistant", "", "T", tool_calls=(CALL, parse_call({"function": {"name": "g", "arguments": None}})))
RESULTS = (Message("tool", "1"), Message("tool", "2"))
TOOL = parse_tool(
    {
        "function": {
            "name": "f",
            "description": "D <d>",
            "parameters": {
                "$defs": {"z": 1, "y": 2},
                "required": ["a"],
                "properties": {"a": {"type": ["string", "null"], "enum": ["x"]}, "b": {"description": "B"}},
            },
        }
    }
)
VARIANTS: list[Render] = [
    render_qwen3_coder,
    render_qwen3_vl_instruct,
    render_qwen3_vl_thinking,
    render_qwen3_5,
    render_ornith,
]


def turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


ASKED = turn("user", "U") + "<|im_start|>assistant\n"
RESULTS_TURN = turn("user", "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>")


@pytest.mark.parametrize(
    ("render", "ending"),
    [
        (render_qwen3_coder, ""),
        (render_qwen3_vl_instruct, ""),
        (render_qwen3_vl_thinking, "<think>\n"),
        (render_qwen3_5, "<think>\n"),
        (render_ornith, "<think>\n"),
    ],
)
def test_the_model_is_to_answer_the_last_question(render: Render, ending: str) -> None:
    assert render(Conversation([USER])) == ASKED + ending


@pytest.mark.parametrize("render", VARIANTS)
def test_an_answer_at_the_end_is_continued(render: Render) -> None:
    prompt = render(Conversation([USER, Message("assistant", "So")], think=Think(False)))
    assert prompt.endswith("So")


@pytest.mark.parametrize("render", VARIANTS)
def test_results_of_tools_share_a_turn(render: Render) -> None:
    assert RESULTS_TURN in render(Conversation([USER, CALLED, *RESULTS]))


@pytest.mark.parametrize("render", VARIANTS[1:])
def test_images_are_tagged_or_shown_as_tokens(render: Render) -> None:
    messages = [Message("user", "a", images=(b"1", b"2"))]
    token = "<|vision_start|><|image_pad|><|vision_end|>"
    assert turn("user", "[img-0][img-1] a") in render(Conversation(messages))
    assert turn("user", f"{token}{token}a") in render(Conversation(messages, tags_images=False))


def test_coder_takes_the_first_system_text_and_drops_the_others() -> None:
    systems = [Message("system", text) for text in ("", "A", "B")]
    assert render_qwen3_coder(Conversation([USER, *systems])) == turn("system", "A") + ASKED


def test_coder_writes_tools_and_calls_in_xml() -> None:
    prompt = render_qwen3_coder(Conversation([USER, CALLED], [TOOL]))
    assert prompt == (
        turn(
            "system",
            "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
            "\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>"
            "\n<function>\n<name>f</name>\n<description>D <d></description>\n<parameters>"
            '\n<parameter>\n<name>a</name>\n<type>["string","null"]</type>\n<enum>["x"]</enum>\n</parameter>'
            "\n<parameter>\n<name>b</name>\n<description>B</description>\n</parameter>"
            '\n<$defs>{"y":2,"z":1}</$defs>\n<required>["a"]</required>'
            f"\n</parameters>\n</function>\n</tools>{XML_CALLS}",
        )
        + ASKED
        + "\n<tool_call>\n<function=f>\n<parameter=b>\n1.234567e+06\n</parameter>"
        '\n<parameter=a>\n{"k":"\\u003cx\\u003e"}\n</parameter>\n<parameter=c>\nnull\n</parameter>'
        "\n</function>\n</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call><|im_end|>\n"
    )


def test_vl_writes_calls_in_json_and_the_thoughts_of_the_current_turn() -> None:
    old = Message("assistant", "A", "old")
    arguments = '{"b": 1234567, "a": {"k": "\\u003cx\\u003e"}, "c": null}'
    calls = f'<tool_call>\n{{"name": "f", "arguments": {arguments}}}\n</tool_call>'
    prompt = render_qwen3_vl_thinking(Conversation([USER, old, USER, CALLED, *RESULTS]))
    assert prompt == (
        ASKED
        + "A<|im_end|>\n"
        + ASKED
        + f'<think>\nT{calls}\n<tool_call>\n{{"name": "g", "arguments": null}}\n</tool_call><|im_end|>\n'
        + RESULTS_TURN
        + "<|im_start|>assistant\n<think>\n"
    )


def test_vl_closes_thoughts_only_before_content() -> None:
    render = render_qwen3_vl_thinking
    assert render(Conversation([USER, Message("assistant", "\nA", "\nT\n")])).endswith("<think>\nT\n</think>\n\nA")
    assert render(Conversation([USER, Message("assistant", "", "T")])).endswith("<think>\nT")


def test_tools_come_before_the_system_text_in_qwen3_5_and_after_it_in_vl() -> None:
    messages = [SYSTEM, USER]
    assert render_qwen3_5(Conversation(messages, [TOOL])).startswith("<|im_start|>system\n# Tools\n")
    assert f"{XML_CALLS}\n\nS<|im_end|>\n" in render_qwen3_5(Conversation(messages, [TOOL]))
    assert render_qwen3_vl_instruct(Conversation(messages, [TOOL])).startswith("<|im_start|>system\n S \n\n# Tools\n")


@pytest.mark.parametrize(
    ("render", "old", "current"),
    [
        (render_qwen3_5, "A", "<think>\nT\n</think>\n\nA"),
        (render_ornith, "<think>\nT\n</think>\n\nA", "<think>\nT\n</think>\n\nA"),
    ],
)
@pytest.mark.parametrize("answer", [Message("assistant", " A ", " T "), Message("assistant", "<think>T</think>\n\nA")])
def test_thoughts_are_found_in_the_message_or_its_content(
    render: Render, old: str, current: str, answer: Message
) -> None:
    prompt = render(Conversation([USER, answer, USER, answer]))
    assert prompt == ASKED + old + "<|im_end|>\n" + ASKED + current


def test_a_result_in_a_users_turn_is_no_question() -> None:
    result = Message("user", "<tool_response>1</tool_response>")
    prompt = render_qwen3_5(Conversation([USER, Message("assistant", "A", "T"), result]))
    assert "<think>\nT\n</think>\n\nA" in prompt


@pytest.mark.parametrize(
    ("think", "begins", "ends"),
    [
        (None, "Reasoning effort is set to xhigh.", "<think>\n"),
        (Think(True), "", "<think>\n"),
        (Think(True, "low"), "Reasoning effort is set to low.", "<think>\n"),
        (Think(True, "max"), "Reasoning effort is set to xhigh.", "<think>\n"),
        (Think(False), "", "<think>\n\n</think>\n\n"),
    ],
)
def test_qwen3_8_is_told_how_much_to_think(think: Think | None, begins: str, ends: str) -> None:
    prompt = render_qwen3_8(Conversation([USER], think=think))
    assert prompt.startswith(f"<|im_start|>system\n{begins}" if begins else ASKED)
    assert prompt.endswith(ASKED + ends)


def test_qwen3_8_has_one_system_message() -> None:
    messages = [
        Message("developer", " A "),
        USER,
        Message("system", ""),
        Message("system", "B"),
        Message("critic", "C"),
    ]
    prompt = render_qwen3_8(Conversation(messages, think=Think(True)))
    assert (
        prompt
        == turn("system", "A\n\nB") + turn("user", "U") + turn("critic", "C") + "<|im_start|>assistant\n<think>\n"
    )


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no messages provided"),
        ([SYSTEM], "no user query found in messages"),
        ([Message("user", "<tool_response></tool_response>")], "no user query found in messages"),
        ([USER, Message("developer", "", images=(b"1",))], "developer message cannot contain images"),
    ],
)
def test_qwen3_8_refuses_some_chats(messages: list[Message], reason: str) -> None:
    with pytest.raises(TemplateError, match=f"^{reason}$"):
        render_qwen3_8(Conversation(messages))
