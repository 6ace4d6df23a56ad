"""What the libraries' users see when a reply breaks off in the middle of a stream: an error, not a short answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from models.errors import RunnerCrashed
from models.parsers.events import Delta
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, fake_parts

SAID: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose model says one thing and then crashes."""
    generation = FakeGeneration((Delta("One"), RunnerCrashed("the model is gone")))
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), generation)) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_a_chat_of_openai_raises(client: openai.OpenAI) -> None:
    parts = client.chat.completions.create(model="m", messages=SAID, stream=True)
    assert next(parts).choices[0].delta.content == "One"
    with pytest.raises(openai.APIError, match="the model is gone"):
        list(parts)


def test_a_completion_of_openai_raises(client: openai.OpenAI) -> None:
    parts = client.completions.create(model="m", prompt="hi", stream=True)
    assert next(parts).choices[0].text == "One"
    with pytest.raises(openai.APIError, match="the model is gone"):
        list(parts)


def test_a_response_of_openai_tells_that_it_failed(client: openai.OpenAI) -> None:
    *_, last = client.responses.create(model="m", input="hi", stream=True)
    assert last.type == "response.failed"
    assert last.response.error is not None and last.response.error.message == "the model is gone"


def test_a_message_of_anthropic_raises(address: str) -> None:
    with anthropic.Anthropic(base_url=address, api_key="unused", max_retries=0) as client:
        parts = client.messages.create(model="m", max_tokens=5, messages=SAID, stream=True)
        with pytest.raises(anthropic.APIStatusError, match="the model is gone"):
            list(parts)
