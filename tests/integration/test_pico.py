"""The built-in model through a real server: what it says, calls and thinks, the same every time by seed or greedily."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ollama
import pytest

from tests.conftest import StartServer
from tests.models.builtin.questions import (
    ADD_TOOL,
    ASKED,
    CALLS,
    QUESTIONS,
    REFUSAL,
    REFUSED,
    RESULTS,
    WEATHER_TOOL,
)

pytestmark = pytest.mark.model

GREEDY = {"temperature": 0}
TOOLS = [WEATHER_TOOL, ADD_TOOL]


@pytest.fixture(scope="module")
def client(start_server: StartServer) -> Iterator[ollama.Client]:
    with ollama.Client(host=start_server("--with-builtin", PUNA_BUILTIN="1").url) as client:
        yield client


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(client: ollama.Client, *messages: dict[str, Any], think: bool = False, **more: Any) -> ollama.Message:
    return client.chat("pico", list(messages), think=think, options=GREEDY, **more).message


# Most of these wordings are not in pico's training: a new one may gain some and lose others, but the sums must hold.
MOST_QUESTIONS, MOST_REFUSALS, MOST_CALLS, MOST_RESULTS = 18, 4, 4, 4


def test_pico_answers_most_of_what_a_new_user_asks(client: ollama.Client) -> None:
    wrong = [question for question, part in QUESTIONS if part not in (answer(client, user(question)).content or "")]
    assert len(QUESTIONS) - len(wrong) >= MOST_QUESTIONS, wrong


@pytest.mark.parametrize(
    ("question", "part"),
    [("How do I pull a model?", "puna pull"), ("How do I list my models?", "puna list"), ("What is Puna?", "Puna")],
)
def test_pico_answers_the_first_questions(client: ollama.Client, question: str, part: str) -> None:
    assert part in (answer(client, user(question)).content or "")


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("Hello!", "pico"),
        ("Who are you?", "I am pico"),
        ("What can you do?", "questions about Puna"),
        ("How do I pull a model?", "puna pull"),
        ("How do I list models?", "puna list"),
        ("How is a model deleted?", "puna rm"),
        ("Does it use my GPU?", "BACKEND="),
        ("How long does a model stay loaded?", "5 minutes"),
        ("Do I need an API key?", "no API key"),
    ],
)
def test_pico_answers_what_newcomers_ask_first_at_any_seed(client: ollama.Client, question: str, part: str) -> None:
    """At the default temperature, streamed, as `puna run` asks it."""
    for seed in range(2):
        stream = client.chat("pico", [user(question)], stream=True, options={"seed": seed})
        said = "".join(chunk.message.content or "" for chunk in stream)
        assert part in said, seed


def test_pico_says_so_when_it_does_not_know(client: ollama.Client) -> None:
    wrong = [question for question in REFUSED if REFUSAL not in (answer(client, user(question)).content or "")]
    assert len(REFUSED) - len(wrong) >= MOST_REFUSALS, wrong


def test_pico_calls_the_tool_that_a_question_needs(client: ollama.Client) -> None:
    wrong = []
    for question, tool, arguments in CALLS:
        message = answer(client, user(question), tools=TOOLS)
        calls = [(call.function.name, dict(call.function.arguments)) for call in message.tool_calls or ()]
        if calls != [(tool, arguments)] or message.content:
            wrong.append((question, message))
    assert len(CALLS) - len(wrong) >= MOST_CALLS, wrong


def test_pico_answers_beside_tools_when_none_is_needed(client: ollama.Client) -> None:
    message = answer(client, user("How do I pull a model?"), tools=TOOLS)
    assert not message.tool_calls
    assert "puna pull" in (message.content or "")


def test_pico_passes_on_what_a_tool_said(client: ollama.Client) -> None:
    function = {"name": WEATHER_TOOL["function"]["name"], "arguments": {"city": "Yokohama"}}
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    wrong = []
    for result in RESULTS:
        message = answer(client, user(ASKED), call, {"role": "tool", "content": result}, tools=TOOLS)
        if result not in (message.content or ""):
            wrong.append((result, message.content))
    assert len(RESULTS) - len(wrong) >= MOST_RESULTS, wrong


def test_pico_thinks_when_asked_to_and_only_then(client: ollama.Client) -> None:
    question = user("How do I pull a model?")
    thinking, plain = answer(client, question, think=True), answer(client, question)
    assert (thinking.thinking or "").strip()
    assert not plain.thinking
    assert "puna pull" in (thinking.content or "")
    assert "puna pull" in (plain.content or "")


def test_pico_answers_the_last_question_of_a_chat(client: ollama.Client) -> None:
    messages = [user("Hello!"), {"role": "assistant", "content": "Hello!"}, user("How do I pull a model?")]
    messages += [{"role": "assistant", "content": "Run `puna pull`."}, user("And how do I list my models?")]
    assert "puna list" in (answer(client, {"role": "system", "content": "Be brief."}, *messages).content or "")
