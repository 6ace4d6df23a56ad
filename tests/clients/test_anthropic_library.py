"""Anthropic's own Python library, unchanged, against a real server: what its users do, and the errors they see."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.scripted_models import CITY, GREETING, said

pytestmark = pytest.mark.model

WEATHER: Any = {"name": "get_weather", "description": "Weather", "input_schema": CITY}

NUMBERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
ADD: Any = {"name": "add", "input_schema": NUMBERS}


def test_a_message_answers_whole(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="chat", max_tokens=100, messages=said("hi"), system="Be brief.")
    assert [(block.type, getattr(block, "text", "")) for block in answer.content] == [("text", GREETING)]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 7)


def test_a_message_streams_the_same_text(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model="chat", max_tokens=100, messages=said("hi")) as stream:
        parts = list(stream.text_stream)
        answer = stream.get_final_message()
    assert "".join(parts) == GREETING and len(parts) > 3
    assert answer.stop_reason == "end_turn" and answer.usage.output_tokens == 7


def test_a_limit_is_told(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="chat", max_tokens=2, messages=said("count"))
    assert answer.stop_reason == "max_tokens"


def test_a_tool_is_called_and_its_result_used(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model="agent", max_tokens=100, messages=said("both"), tools=[WEATHER, ADD]) as stream:
        first = stream.get_final_message()
    assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
    assert first.stop_reason == "tool_use"
    call: Any = first.content[1]
    assert (call.name, call.input) == ("get_weather", {"city": "Rome"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    history: list[Any] = [
        *said("Rome?"),
        {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [result]},
    ]
    second = claude.messages.create(model="agent", max_tokens=100, messages=history, tools=[WEATHER])
    assert getattr(second.content[0], "text", "") == "Sunny, 21 degrees."


def test_thoughts_are_blocks(claude: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = claude.messages.create(model="agent", max_tokens=2048, messages=said("ponder"), thinking=thinking)
    assert [block.type for block in answer.content] == ["thinking", "text"]


def test_thinking_is_no_error_for_a_model_that_cannot(claude: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = claude.messages.create(model="chat", max_tokens=2048, messages=said("hi"), thinking=thinking)
    assert [block.type for block in answer.content] == ["text"]


@pytest.mark.parametrize("text", ["hi", "json"])
def test_tokens_are_counted_as_a_message_counts_them(claude: anthropic.Anthropic, text: str) -> None:
    counted = claude.messages.count_tokens(model="chat", messages=said(text), system="Be brief.")
    answer = claude.messages.create(model="chat", max_tokens=1, messages=said(text), system="Be brief.")
    assert counted.input_tokens == answer.usage.input_tokens


def test_tools_are_counted_too(claude: anthropic.Anthropic) -> None:
    counted = claude.messages.count_tokens(model="agent", messages=said("forecast"), tools=[WEATHER])
    assert counted.input_tokens == 355


def test_a_missing_model_is_not_found(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model 'nope' not found"):
        claude.messages.create(model="nope", max_tokens=1, messages=said("hi"))
