"""Ollama's own Python library, unchanged, against a real server: what its users do, and the errors they see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import ollama
import pytest
from pydantic import BaseModel

from tests.conftest import StartServer
from tests.scripted_models import GREETING, create_models
from tools.server_process import ServerProcess

pytestmark = pytest.mark.model

COUNT = " one two three four five"


@pytest.fixture(scope="module")
def server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    """A server that has the built-in model and the scripted ones."""
    server = start_server(PUNA_BUILTIN="1")
    create_models(server, tiny_model)
    return server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[ollama.Client]:
    with ollama.Client(host=server.url) as client:
        yield client


def test_generate_answers_whole(client: ollama.Client) -> None:
    answer = client.generate("chat", "hi")
    assert answer.response == GREETING
    assert answer.done and answer.done_reason == "stop"
    assert answer.eval_count == 7 and answer.prompt_eval_count and answer.total_duration


def test_generate_streams_the_same_text(client: ollama.Client) -> None:
    parts = list(client.generate("chat", "hi", stream=True))
    assert "".join(part.response or "" for part in parts) == GREETING
    assert len(parts) > 3
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_chat_keeps_the_roles(client: ollama.Client) -> None:
    answer = client.chat("chat", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
    assert answer.message.role == "assistant"
    assert answer.message.content == GREETING


def test_options_bound_the_answer(client: ollama.Client) -> None:
    answer = client.generate("chat", "count", options={"num_predict": 5, "temperature": 0, "seed": 1})
    assert answer.response == COUNT
    assert answer.done_reason == "length"


def test_a_stop_text_ends_the_answer_before_it(client: ollama.Client) -> None:
    assert client.generate("chat", "count", options={"stop": [" three"]}).response == " one two"


class Person(BaseModel):
    name: str
    age: int


def test_a_schema_makes_the_answer_parse(client: ollama.Client) -> None:
    answer = client.chat("chat", [{"role": "user", "content": "json"}], format=Person.model_json_schema())
    assert Person.model_validate_json(answer.message.content or "") == Person(name="Ada", age=36)


def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return f"sunny in {city}"


def test_a_function_is_called_and_its_result_is_used(client: ollama.Client) -> None:
    messages: list[ollama.Message] = [ollama.Message(role="user", content="forecast")]
    answer = client.chat("agent", messages, tools=[get_weather])
    (call,) = answer.message.tool_calls or ()
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Paris"})
    result = get_weather(**call.function.arguments)
    messages += [answer.message, ollama.Message(role="tool", content=result, tool_name="get_weather")]
    assert client.chat("agent", messages, tools=[get_weather]).message.content == "Sunny, 21 degrees."


def test_thinking_is_told_apart_from_the_answer(client: ollama.Client) -> None:
    answer = client.chat("agent", [{"role": "user", "content": "ponder"}], think=True)
    assert answer.message.thinking == "The user wants me to ponder.\n"
    assert answer.message.content == "It is forty-two."


def test_embeddings_come_back_for_every_input_with_length_one(client: ollama.Client) -> None:
    answer = client.embed("bert", ["the cat sat", "hello world"])
    assert len(answer.embeddings) == 2
    for vector in answer.embeddings:
        assert len(vector) == 64
        assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-4)
    assert client.embed("bert", "the cat sat").embeddings[0] == pytest.approx(answer.embeddings[0], abs=1e-4)


def test_the_library_of_models_can_be_listed_shown_copied_and_deleted(client: ollama.Client) -> None:
    client.copy("chat", "team/copy:1")
    names = {model.model for model in client.list().models}
    assert {"chat:latest", "team/copy:1"} <= names
    shown = client.show("team/copy:1")
    assert shown.details and shown.details.family == "llama"
    assert "completion" in (shown.capabilities or [])
    assert client.delete("team/copy:1").status == "success"
    assert "team/copy:1" not in {model.model for model in client.list().models}


def test_a_model_made_from_another_has_its_system_prompt_and_parameters(client: ollama.Client) -> None:
    client.create("short", from_="chat", system="Be brief.", parameters={"num_predict": 2})
    assert client.generate("short", "count").response == " one two"
    assert "Be brief." in (client.show("short").modelfile or "")


def test_a_loaded_model_is_listed_until_it_is_unloaded(client: ollama.Client) -> None:
    client.generate("chat", "hi", keep_alive="10m")
    assert "chat:latest" in {model.model for model in client.ps().models}
    client.generate("chat", keep_alive=0)
    assert "chat:latest" not in {model.model for model in client.ps().models}


def test_errors_have_the_status_and_the_words_that_clients_know(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nobody' not found") as raised:
        client.chat("nobody", [{"role": "user", "content": "hi"}])
    assert raised.value.status_code == 404


def test_the_built_in_model_is_known_to_every_server(client: ollama.Client) -> None:
    answer = client.chat("pico", [{"role": "user", "content": "How do I pull a model?"}], options={"temperature": 0})
    assert "pull" in (answer.message.content or "")
    assert "pico:latest" in {model.model for model in client.list().models}


def test_many_chats_at_once_are_all_answered(client: ollama.Client, server: ServerProcess) -> None:
    async def ask_all() -> list[ollama.ChatResponse]:
        question = [{"role": "user", "content": "hi"}]
        async with ollama.AsyncClient(host=server.url) as many:
            return await asyncio.gather(*(many.chat("chat", question) for _ in range(12)))

    assert {answer.message.content for answer in asyncio.run(ask_all())} == {GREETING}


def test_a_stream_that_is_dropped_leaves_the_server_ready(client: ollama.Client) -> None:
    for _ in range(5):
        stream = client.generate("chat", "repeat", stream=True, options={"num_predict": -1})
        next(iter(stream))
        del stream
    assert client.generate("chat", "hi").response == GREETING
