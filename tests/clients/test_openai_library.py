"""OpenAI's own Python library, unchanged, against a real server: what its users do, and the errors they see."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.scripted_models import ADD, CITY, GREETING, WEATHER, said

pytestmark = pytest.mark.model

WEATHER_FLAT: Any = {"type": "function", "name": "get_weather", "parameters": CITY, "strict": True}


# ---- chat ----------------------------------------------------------------------------------------------------------


def test_chat_answers_whole(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=said("hi"))
    assert answer.choices[0].message.content == GREETING
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens == 25


def test_chat_streams_the_same_text_and_its_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat", messages=said("hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == GREETING
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 7


def test_the_library_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="agent", messages=said("both"), tools=[WEATHER, ADD]) as stream:
        stream.until_done()
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Let me check.\n"
    assert [call.function.name for call in message.tool_calls or ()] == ["get_weather", "add"]


def test_a_tool_is_called_and_its_result_used(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="agent", messages=said("forecast"), tools=[WEATHER])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls" and message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert (call.type, call.function.arguments) == ("function", '{"city":"Paris"}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages: list[Any] = [*said("forecast"), message.model_dump(exclude_none=True), result]
    second = client.chat.completions.create(model="agent", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "Sunny, 21 degrees."


class Person(BaseModel):
    name: str
    age: int


def test_an_answer_is_parsed_into_a_model_of_pydantic(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="chat", messages=said("json"), response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


def test_effort_decides_about_thoughts(client: openai.OpenAI) -> None:
    def thoughts(effort: Any) -> str | None:
        answer = client.chat.completions.create(model="agent", messages=said("ponder"), reasoning_effort=effort)
        text: str | None = getattr(answer.choices[0].message, "reasoning", None)
        return text

    assert thoughts("high") == "The user wants me to ponder.\n"
    assert thoughts("none") is None


def test_log_probabilities_are_told(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=said("hi"), logprobs=True, top_logprobs=2)
    found = answer.choices[0].logprobs
    assert found is not None and found.content is not None
    assert "".join(token.token for token in found.content) == GREETING
    assert {len(token.top_logprobs) for token in found.content} == {2}


def test_fields_of_the_native_api_are_taken_as_extras(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat",
        messages=said("count"),
        extra_body={"options": {"num_predict": 2, "temperature": 0}, "keep_alive": "1m", "num_ctx": 512},
    )
    assert answer.choices[0].message.content == " one two"
    assert answer.choices[0].finish_reason == "length"


# ---- the other resources -------------------------------------------------------------------------------------------


def test_a_prompt_is_completed(client: openai.OpenAI) -> None:
    assert client.completions.create(model="chat", prompt="hi").choices[0].text == GREETING
    parts = client.completions.create(model="chat", prompt="hi", stream=True)
    assert "".join(part.choices[0].text for part in parts) == GREETING


def test_embeddings_are_the_same_as_numbers_and_as_text(client: openai.OpenAI) -> None:
    as_text = client.embeddings.create(model="bert", input=["cat", "dog"])  # the library asks for base64
    as_numbers = client.embeddings.create(model="bert", input=["cat", "dog"], encoding_format="float")
    assert [row.index for row in as_text.data] == [0, 1]
    assert as_text.data[1].embedding == pytest.approx(as_numbers.data[1].embedding, abs=1e-7)
    assert len(client.embeddings.create(model="bert", input="cat", dimensions=8).data[0].embedding) == 8


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"agent:latest", "bert:latest", "chat:latest"}
    assert client.models.retrieve("chat").owned_by == "library"


def test_a_response_answers_whole(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="chat", input="hi", instructions="Be brief.")
    assert answer.output_text == GREETING
    assert answer.status == "completed" and answer.usage is not None and answer.usage.output_tokens == 7


def test_a_response_streams_thoughts_and_text(client: openai.OpenAI) -> None:
    with client.responses.stream(model="agent", input="ponder") as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_response()
    assert answer.output_text == "It is forty-two."
    assert "response.reasoning_summary_text.delta" in kinds
    assert kinds[-1] == "response.completed"


def test_a_response_calls_a_tool(client: openai.OpenAI) -> None:
    first = client.responses.create(model="agent", input="forecast", tools=[WEATHER_FLAT])
    call: Any = first.output[0]
    assert (call.type, call.name, call.arguments) == ("function_call", "get_weather", '{"city":"Paris"}')
    items: list[Any] = [
        *said("forecast"),
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    assert client.responses.create(model="agent", input=items, tools=[WEATHER_FLAT]).output_text == "Sunny, 21 degrees."


# ---- errors --------------------------------------------------------------------------------------------------------


def test_a_missing_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        client.chat.completions.create(model="nope", messages=said("hi"))


def test_a_bad_request_says_what_is_bad(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="invalid message content type: float64"):
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": 5}])  # type: ignore[list-item, typeddict-item]
