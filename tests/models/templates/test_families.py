# ruff: noqa: RUF001
# DeepSeek's tokens are written with a fullwidth bar.
"""Public chat templates, shortened to what they do with messages: what is found out about each."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.parsers.events import ToolCall
from models.parsers.syntax import (
    AddressedCalls,
    Body,
    BodyCalls,
    CallSyntax,
    HarmonyCalls,
    JsonCalls,
    NamedCalls,
    ReasoningTags,
)
from models.templates.chat import Message
from models.templates.native import NativeModel, NativePrompt, render_native
from models.templates.probe import probe

TEMPLATES = Path(__file__).parent / "chat_templates"
THINK = ReasoningTags("<think>", "</think>")


def source(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text()


def render(name: str, *messages: Message) -> NativePrompt:
    return render_native(NativeModel(source(name)), messages)


CALLS: list[tuple[str, ReasoningTags | None, CallSyntax]] = [
    ("qwen2.5", None, JsonCalls("<tool_call>\n", "</tool_call>", repeats=True)),
    ("qwen3-coder", None, BodyCalls("<tool_call>", "</tool_call>", Body.QWEN_XML)),
    ("llama-3.1", None, JsonCalls("", "", arguments_key="parameters", also=("<|python_tag|>",))),
    ("mistral-nemo", None, JsonCalls("[TOOL_CALLS]", "", in_array=True, id_key="id")),
    ("devstral", None, NamedCalls("[TOOL_CALLS]", "[ARGS]", id_tag="[CALL_ID]")),
    ("phi-4-mini", None, JsonCalls("<|tool_call|>", "<|/tool_call|>", in_array=True, also=("functools",))),
    ("granite-3.3", THINK, JsonCalls("<|tool_call|>", "", in_array=True, also=("<tool_call>",))),
    ("gpt-oss", None, HarmonyCalls()),
    ("functionary-3.2", None, AddressedCalls()),
    (
        "command-r7b",
        ReasoningTags("<|START_THINKING|>", "<|END_THINKING|>"),
        JsonCalls(
            "<|START_ACTION|>", "<|END_ACTION|>", in_array=True, name_key="tool_name", arguments_key="parameters"
        ),
    ),
]


@pytest.mark.parametrize(("name", "reasoning", "calls"), CALLS, ids=[case[0] for case in CALLS])
def test_thoughts_and_calls_of_each_family(name: str, reasoning: ReasoningTags | None, calls: CallSyntax) -> None:
    traits = probe(source(name))
    assert (traits.reasoning, traits.calls) == (reasoning, calls)
    assert traits.takes_text


def test_deepseek_r1_thinks_from_the_start_and_calls_by_name() -> None:
    prompt = render("deepseek-r1", Message("user", "Hi"))
    assert prompt.traits.reasoning == THINK
    assert isinstance(prompt.traits.calls, NamedCalls) and prompt.traits.calls.separator == "\n```json\n"
    assert prompt.text == "<｜User｜>Hi<｜Assistant｜><think>\n"
    assert prompt.primer == "<think>\n"


def test_deepseek_r1_shows_calls_only_of_messages_whose_content_is_absent() -> None:
    call = ToolCall("get_weather", {"city": "Rome"})
    text = render("deepseek-r1", Message("user", "Hi"), Message("assistant", tool_calls=(call,)), Message("user")).text
    assert '<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city":"Rome"}\n```' in text


@pytest.mark.parametrize(
    ("name", "primer", "answer", "begun"),
    [
        ("functionary-3.2", ">>>", ">>>all\nRoses", ">>>all\nRoses"),
        ("gpt-oss", "<|start|>assistant", "<|channel|>final<|message|>Roses",
         "<|start|>assistant<|channel|>final<|message|>Roses"),
    ],
)  # fmt: skip
def test_the_header_of_a_reply_stands_in_its_primer(name: str, primer: str, answer: str, begun: str) -> None:
    assert render(name, Message("user", "Hi")).primer == primer
    prompt = render(name, Message("user", "Hi"), Message("assistant", "Roses"))
    assert prompt.text.endswith(answer) and prompt.primer == begun
