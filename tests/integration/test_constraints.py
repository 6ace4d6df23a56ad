"""What constrains replies, through every dialect of a real server with tiny models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest

from tests.conftest import StartServer
from tests.scripted_models import create_models, said

pytestmark = pytest.mark.model

YES: dict[str, Any] = {"type": "object", "properties": {"sure": {"enum": [True]}}, "required": ["sure"]}
SAID_YES = {"sure": True}
WRONG_SCHEMA = {"type": "object", "properties": {"a": {"type": "banana"}}}
AT_A = "invalid json_schema at #/properties/a: Invalid type: banana"
GREEDY = {"temperature": 0, "num_predict": 100}


@pytest.fixture(scope="module")
def server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> Iterator[httpx.Client]:
    started = start_server()
    create_models(started, tiny_model, ("chat", "agent"))
    with httpx.Client(base_url=started.url, timeout=60) as client:
        yield client


def post(server: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return server.post(path, json=body)


def error_of(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    return str(error["message"] if isinstance(error, dict) else error)


# ---- mistakes ------------------------------------------------------------------------------------------------------

PROMPTS: dict[str, dict[str, Any]] = {
    "/api/generate": {"prompt": "hi"},
    "/api/chat": {"messages": said("hi")},
    "/v1/completions": {"prompt": "hi"},
    "/v1/chat/completions": {"messages": said("hi")},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": said("hi"), "max_tokens": 20},
}


def in_format(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The field by which a dialect takes a schema."""
    named = {"type": "json_schema", "name": "answer", "schema": schema}
    match path:
        case "/v1/chat/completions":
            return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}
        case "/v1/responses":
            return {"text": {"format": named}}
        case _:
            return {"format": schema}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/v1/chat/completions", "/v1/responses"])
def test_a_wrong_schema_is_a_400_that_says_where(server: httpx.Client, path: str, stream: bool) -> None:
    answer = post(server, path, model="chat", stream=stream, **PROMPTS[path], **in_format(path, WRONG_SCHEMA))
    assert (answer.status_code, error_of(answer)) == (400, AT_A)
    answer = post(server, path, model="chat", stream=stream, **PROMPTS[path], **in_format(path, {"type": "banana"}))
    assert (answer.status_code, error_of(answer)) == (400, "invalid json_schema at #: Invalid type: banana")


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("grammar", 'root ::= "a" | b', "invalid gbnf: line 1, column 16: there is no rule 'b'"),
        ("grammar", 'root ::= x\nx ::= ("a"', "invalid gbnf: line 2, column 7: this '(' is not closed"),
        ("grammar", "start: missing", 'invalid lark: line 1, column 8: unknown name: "missing"'),
        ("regex", "ab(c", "invalid regex: unclosed group at character 3"),
        (
            "regex",
            "(x{1000}){1000}",
            "invalid regex at characters 1 to 15: it takes too much time or memory",
        ),
    ],
)
@pytest.mark.parametrize("path", PROMPTS)
def test_a_wrong_grammar_is_a_400_that_says_where(
    server: httpx.Client, path: str, field: str, text: str, said: str
) -> None:
    answer = post(server, path, model="chat", **PROMPTS[path], **{field: text})
    assert (answer.status_code, error_of(answer)) == (400, said)


def test_rules_that_would_overflow_the_stack_do_not_end_the_runner(server: httpx.Client) -> None:
    rules = "\n".join(f'r{i}: "a" r{i + 1} "b"' for i in range(5000))
    grammar = f'start: r0\n{rules}\nr5000: "z"'
    running = post(server, "/api/generate", model="chat", prompt="hi", stream=False)
    answer = post(server, "/api/generate", model="chat", prompt="hi", grammar=grammar)
    assert answer.status_code == 400 and "too much time or memory" in error_of(answer)
    again = post(server, "/api/generate", model="chat", prompt="hi", stream=False)
    assert again.json()["response"] == running.json()["response"]


def test_the_server_goes_on_after_mistakes(server: httpx.Client) -> None:
    for _ in range(5):
        post(server, "/api/generate", model="chat", prompt="hi", grammar="root ::= (")
        answer = post(server, "/api/generate", model="chat", prompt="json", format="json", stream=False)
        assert json.loads(answer.json()["response"]) == {"name": "Ada", "age": 36}


# ---- together with tools -------------------------------------------------------------------------------------------

CHATS = ("/api/chat", "/v1/chat/completions", "/v1/responses")
IN_ROME = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"]}
WEATHER: dict[str, Any] = {"name": "get_weather", "parameters": IN_ROME}


def tools_of(path: str) -> list[dict[str, Any]]:
    match path:
        case "/v1/responses":
            return [{"type": "function", **WEATHER}]
        case "/v1/messages":
            return [{"name": WEATHER["name"], "input_schema": IN_ROME}]
        case _:
            return [{"type": "function", "function": WEATHER}]


def contents(path: str, answer: httpx.Response) -> tuple[str, list[str]]:
    """The text of a reply, and the names of the tools that it calls."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    match path:
        case "/v1/responses":
            texts = [part["text"] for item in body["output"] for part in item.get("content", ())]
            return "".join(texts), [item["name"] for item in body["output"] if item["type"] == "function_call"]
        case "/v1/messages":
            blocks = body["content"]
            text = "".join(block["text"] for block in blocks if block["type"] == "text")
            return text, [block["name"] for block in blocks if block["type"] == "tool_use"]
        case _:
            message = body["choices"][0]["message"] if "choices" in body else body["message"]
            return message.get("content") or "", [c["function"]["name"] for c in message.get("tool_calls") or ()]


def ask(server: httpx.Client, path: str, prompt: str, **fields: Any) -> httpx.Response:
    asked = {"input": prompt} if path == "/v1/responses" else {"messages": said(prompt)}
    limit = {"max_tokens": 200} if path == "/v1/messages" else {}
    body = {"model": "agent", "stream": False, "options": GREEDY, "tools": tools_of(path)}
    return post(server, path, **asked, **limit, **body, **fields)


@pytest.mark.parametrize("path", CHATS)
def test_a_format_holds_where_tools_are_offered(server: httpx.Client, path: str) -> None:
    """The model would call: `forecast` makes it."""
    assert contents(path, ask(server, path, "forecast"))[1] == ["get_weather"]
    text, calls = contents(path, ask(server, path, "forecast", **in_format(path, YES)))
    assert (json.loads(text), calls) == (SAID_YES, [])


@pytest.mark.parametrize(
    ("path", "required", "one"),
    [
        ("/v1/chat/completions", "required", {"type": "function", "function": {"name": "get_weather"}}),
        ("/v1/responses", "required", {"type": "function", "name": "get_weather"}),
        (
            "/v1/messages",
            {"type": "any", "disable_parallel_tool_use": True},
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_a_call_that_is_demanded_goes_before_a_format_and_beside_no_grammar(
    server: httpx.Client, path: str, required: Any, one: Any
) -> None:
    for choice in (required, one):
        fields = {} if path == "/v1/messages" else {"parallel_tool_calls": False, **in_format(path, YES)}
        text, calls = contents(path, ask(server, path, "forecast", tool_choice=choice, **fields))
        assert (text, calls) == ("", ["get_weather"])
        for field, value in (("grammar", 'root ::= "a"'), ("regex", "a")):
            answer = ask(server, path, "forecast", tool_choice=choice, **{field: value})
            assert answer.status_code == 400
            assert error_of(answer) == f"tool_choice demands a tool call, which cannot be combined with {field}"


def test_a_tool_whose_parameters_cannot_be_enforced_is_a_400(server: httpx.Client) -> None:
    function = {
        "name": "f",
        "parameters": {"properties": {"a": {"type": "array", "items": {"$ref": "#/nope"}}}, "required": ["a"]},
    }
    body = {"model": "agent", "messages": said("hi"), "tools": [{"type": "function", "function": function}]}
    answer = post(server, "/v1/chat/completions", **body, tool_choice="required")
    assert answer.status_code == 400
    assert error_of(answer) == "a tool's parameters cannot be enforced: Pointer '/nope' does not exist"


@pytest.mark.parametrize(("field", "value"), [("grammar", 'root ::= "yes!"'), ("regex", "yes!")])
def test_a_grammar_holds_where_tools_are_offered(server: httpx.Client, field: str, value: str) -> None:
    for path in (*CHATS, "/v1/messages"):
        assert contents(path, ask(server, path, "forecast", think=False, **{field: value})) == ("yes!", [])


# ---- together with thoughts ----------------------------------------------------------------------------------------


def test_a_format_begins_after_the_thought(server: httpx.Client) -> None:
    for constraint in ({"format": YES}, {"regex": '\\{"sure":true\\}'}, {"grammar": 'root ::= "{\\"sure\\":true}"'}):
        body = {"model": "agent", "messages": said("ponder"), "think": True, "stream": False, "options": GREEDY}
        message = post(server, "/api/chat", **body, **constraint).json()["message"]
        assert message["thinking"].strip() == "The user wants me to ponder."
        assert json.loads(message["content"]) == SAID_YES
    with ollama.Client(host=str(server.base_url)) as client:
        streamed = client.chat("agent", said("ponder"), think=True, stream=True, format=YES, options=GREEDY)
        parts = [(part.message.thinking or "", part.message.content or "") for part in streamed]
    assert "".join(thought for thought, _ in parts).strip() == "The user wants me to ponder."
    assert json.loads("".join(text for _, text in parts)) == SAID_YES


def test_without_thoughts_a_format_begins_at_the_first_token(server: httpx.Client) -> None:
    for think, prompt in ((False, "ponder"), (True, "forecast"), (False, "forecast")):
        body = {"model": "agent", "messages": said(prompt), "think": think, "stream": False, "options": GREEDY}
        message = post(server, "/api/chat", **body, format=YES).json()["message"]
        assert (message.get("thinking", ""), json.loads(message["content"])) == ("", SAID_YES)
    body = {"model": "agent", "prompt": "ponder", "stream": False, "options": GREEDY, "format": YES}
    assert json.loads(post(server, "/api/generate", **body).json()["response"]) == SAID_YES


def test_a_demanded_call_comes_after_the_thought(server: httpx.Client) -> None:
    path = "/v1/chat/completions"
    answer = ask(server, path, "plan", tool_choice="required", parallel_tool_calls=False, **in_format(path, YES))
    assert contents(path, answer) == ("", ["get_weather"])
    message = answer.json()["choices"][0]["message"]
    assert message["reasoning"].strip() == "I should call a tool."
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
