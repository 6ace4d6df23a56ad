"""Anthropic's own Python library, unchanged, against a real server: what its users do, and the errors they see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import ollama
import pytest

from tests.conftest import StartServer
from tools.server_process import ServerProcess

pytestmark = pytest.mark.model

GREETING = "Hello there, how can I help you?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}

NUMBERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
ADD: Any = {"name": "add", "input_schema": NUMBERS}


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    """A server that has the scripted models chat and agent."""
    server = start_server()
    with ollama.Client(host=server.url) as client:
        for name, file in (("chat", "chatml"), ("agent", "agent")):
            path = tiny_model(file)
            client.create(name, files={path.name: client.create_blob(path)})
    return server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


def test_a_message_answers_whole(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model="chat", max_tokens=100, messages=said("hi"), system="Be brief.")
    assert [(block.type, getattr(block, "text", "")) for block in answer.content] == [("text", GREETING)]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 7)


def test_a_message_streams_the_same_text(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="chat", max_tokens=100, messages=said("hi")) as stream:
        parts = list(stream.text_stream)
        answer = stream.get_final_message()
    assert "".join(parts) == GREETING and len(parts) > 3
    assert answer.stop_reason == "end_turn" and answer.usage.output_tokens == 7


def test_a_limit_is_told(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model="chat", max_tokens=2, messages=said("count"))
    assert answer.stop_reason == "max_tokens"


def test_a_tool_is_called_and_its_result_used(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="agent", max_tokens=100, messages=said("both"), tools=[WEATHER, ADD]) as stream:
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
    second = client.messages.create(model="agent", max_tokens=100, messages=history, tools=[WEATHER])
    assert getattr(second.content[0], "text", "") == "Sunny, 21 degrees."


def test_thoughts_are_blocks(client: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = client.messages.create(model="agent", max_tokens=2048, messages=said("ponder"), thinking=thinking)
    assert [block.type for block in answer.content] == ["thinking", "text"]


def test_thinking_is_no_error_for_a_model_that_cannot(client: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = client.messages.create(model="chat", max_tokens=2048, messages=said("hi"), thinking=thinking)
    assert [block.type for block in answer.content] == ["text"]


@pytest.mark.parametrize("text", ["hi", "json"])
def test_tokens_are_counted_as_a_message_counts_them(client: anthropic.Anthropic, text: str) -> None:
    counted = client.messages.count_tokens(model="chat", messages=said(text), system="Be brief.")
    answer = client.messages.create(model="chat", max_tokens=1, messages=said(text), system="Be brief.")
    assert counted.input_tokens == answer.usage.input_tokens


def test_tools_are_counted_too(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="agent", messages=said("forecast"), tools=[WEATHER])
    assert counted.input_tokens == 355


def test_a_missing_model_is_not_found(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model 'nope' not found"):
        client.messages.create(model="nope", max_tokens=1, messages=said("hi"))
