from __future__ import annotations

from datetime import date

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.cohere import render_cohere
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.glimmer import render_glimmer

QUESTION = Message("user", "q")
CALLED = Message("assistant", "c", tool_calls=(ToolCall("f", {"a": None}, id="x"), ToolCall("ns.g", {"b": True})))
NAMES = ("f", "ns.g", "ns.h")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in NAMES]


def cohere(*messages: Message, think: Think | None = None) -> str:
    """What follows the system turn."""
    return render_cohere(Conversation(messages, think=think)).partition("]\n```<|END_TEXT|><|END_OF_TURN_TOKEN|>")[2]


CHATBOT = "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"


def test_cohere_leaves_an_answer_at_the_end_open() -> None:
    assert cohere(Message("chatbot", "a")) == f"{CHATBOT}<|START_TEXT|>a"
    assert cohere(Message("assistant", "a", thinking="t")).endswith("t<|END_THINKING|><|START_TEXT|>a")


@pytest.mark.parametrize(("think", "end"), [(None, ""), (Think(True, "low"), ""), (Think(False), "<|END_THINKING|>")])
def test_cohere_opens_a_thought_or_shows_an_empty_one(think: Think | None, end: str) -> None:
    assert cohere(QUESTION, think=think).endswith(f"{CHATBOT}<|START_THINKING|>{end}")


def test_cohere_numbers_calls_through_the_chat() -> None:
    results = [Message("tool", "r", tool_call_id=call_id) for call_id in ("x", "unknown")]
    prompt = cohere(CALLED, *results, CALLED, QUESTION)
    assert [f'"tool_call_id": "{i}", "tool_name"' in prompt for i in range(5)] == [True] * 4 + [False]
    assert prompt.count("<|START_TOOL_RESULT|>") == 1
    assert '"tool_call_id": "0",\n        "results"' in prompt and '"tool_call_id": "unknown",\n' in prompt


def glimmer(*messages: Message, think: Think | None = None) -> str:
    return render_glimmer(Conversation(messages, think=think, today=date(2026, 8, 1)))


@pytest.mark.parametrize(
    ("think", "strength"),
    [(None, "high"), (Think(True), "high"), (Think(False), "none"), (Think(True, "max"), "max")],
)
def test_glimmer_is_told_how_hard_to_think(think: Think | None, strength: str) -> None:
    told = f"Current date: 2026-08-01.\n\nReasoning strength: {strength}.\n\n# Valid recipients"
    assert told in glimmer(QUESTION, think=think)


def test_glimmer_lets_a_system_message_say_how_hard_to_think() -> None:
    prompt = glimmer(Message("system", "REASONING EFFORT: low"), QUESTION)
    assert "<|message|>REASONING STRENGTH: low\n\n# Valid" in prompt


def test_glimmer_names_each_namespace_once() -> None:
    prompt = render_glimmer(Conversation([QUESTION], TOOLS))
    assert '# Valid recipients: "self", "f.*", "ns.*", "user".' in prompt
    assert '// Tool metadata\n{"name": "f", "description": ""}\n{"name": "ns", "description": ""}\n//' in prompt


CALL = '<|start|>assistant to={0}<|message|><atem:function_calls>\n<atem:invoke name="{0}">\n{1}</atem:invoke>\n'
A, B = '<atem:parameter name="a">null</atem:parameter>\n', '<atem:parameter name="b">true</atem:parameter>\n'


@pytest.mark.parametrize(("following", "end"), [(QUESTION, "<|eot|>"), (Message("assistant", "a"), "<|eom|>")])
def test_glimmer_ends_its_turn_with_the_last_call(following: Message, end: str) -> None:
    prompt = glimmer(CALLED, following)
    calls = f"{CALL.format('f', A)}</atem:function_calls><|eom|>{CALL.format('ns.g', B)}</atem:function_calls>{end}"
    assert calls in prompt


@pytest.mark.parametrize(
    ("result", "name"),
    [(Message("tool", "r", tool_name="n", tool_call_id="x"), "n"), (Message("tool", "r", tool_call_id="x"), "f"),
     (Message("tool", "r", tool_call_id="y"), "y"), (Message("tool", "r"), "")],
)  # fmt: skip
def test_glimmer_names_the_tool_of_a_result(result: Message, name: str) -> None:
    shown = f'<|start|>tool {name}<|message|><tool_output name="{name}">\nr\n</tool_output><|eot|><|start|>assistant'
    assert glimmer(CALLED, result).endswith(shown)


def test_glimmer_shows_a_thought_without_an_answer() -> None:
    thought = "<|start|>assistant to=self<|message|>t<|eom|>"
    assert glimmer(Message("assistant", thinking="t")).endswith(f"{thought}<|start|>assistant")
    assert glimmer(Message("assistant")).endswith("<|start|>assistant to=user<|message|><|eot|><|start|>assistant")
