"""What chat completions, completions and embeddings ask of a model."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from models.templates.chat import Think
from server.errors import BadField
from server.json_decoding.containers import Struct
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.requests import ChatRequest, GenerateRequest
from server.routes.openai.schema import CHAT, COMPLETION, EMBEDDING
from server.routes.openai.translate import (
    check_chat,
    check_completion,
    to_chat_request,
    to_chat_requests,
    to_embed_request,
    to_generate_requests,
    to_think,
)
from server.routes.v1 import Untranslatable

MESSAGES = [{"role": "user", "content": "hi"}]


def read(struct: Struct, value: Any) -> Any:
    return decode(struct, parse(orjson.dumps(value)))


def chat(**fields: Any) -> ChatRequest:
    return to_chat_request(read(CHAT, {"model": "m", "messages": MESSAGES} | fields), 7)


def completion(**fields: Any) -> GenerateRequest:
    return completions(**fields)[0]


def completions(**fields: Any) -> list[GenerateRequest]:
    return to_generate_requests(read(COMPLETION, {"model": "m", "prompt": "p"} | fields), 7)


CHAT_OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    ({"max_tokens": 5, "seed": 1}, {"num_predict": 5, "seed": 1}),
    ({"frequency_penalty": 0, "presence_penalty": 1}, {"frequency_penalty": 0, "presence_penalty": 1}),
    ({"stop": "a"}, {"stop": ["a"]}),
    ({"stop": ["a", 1, "b", None]}, {"stop": ["a", "b"]}),
    ({"stop": [1]}, {}),
    ({"stop": 5}, {}),
    ({"max_completion_tokens": 1, "max_tokens": 5}, {"num_predict": 1}),
    ({"n": 3, "tool_choice": "none"}, {}),
    ({"options": {"top_k": 3, "temperature": 0.1}}, {"top_k": 3, "temperature": 0.1}),
    ({"options": {"top_k": 3, "temperature": 0.1}, "top_k": 4, "temperature": 2}, {"top_k": 4, "temperature": 2}),
    ({"min_p": 0.1, "repeat_penalty": 1.5, "num_ctx": 99}, {"min_p": 0.1, "repeat_penalty": 1.5, "num_ctx": 99}),
]


@pytest.mark.parametrize(("fields", "options"), CHAT_OPTIONS)
def test_options_of_a_chat(fields: dict[str, Any], options: dict[str, Any]) -> None:
    assert chat(**fields).options == {"temperature": 1.0, "top_p": 1.0} | options


COMPLETION_OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"top_p": 0, "temperature": 0}, {"temperature": 0}),
    ({"frequency_penalty": 0.5, "presence_penalty": -1}, {"frequency_penalty": 0.5, "presence_penalty": -1}),
    ({"stop": ["a"], "max_tokens": 3}, {"stop": ["a"], "num_predict": 3}),
    ({"stop": []}, {}),
]


@pytest.mark.parametrize(("fields", "options"), COMPLETION_OPTIONS)
def test_options_of_a_completion(fields: dict[str, Any], options: dict[str, Any]) -> None:
    defaults = {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
    assert completion(**fields).options == defaults | options


def test_a_stop_of_a_completion_is_text() -> None:
    with pytest.raises(Untranslatable, match="invalid type for 'stop' field: float64"):
        completion(stop=["a", 1])


SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
FORMATS: list[tuple[Any, bytes]] = [
    (None, b""),
    ({"type": "text"}, b""),
    ({"type": " JSON_Object "}, b'"json"'),
    ({"type": "json_schema"}, b""),
    ({"type": "json_schema", "json_schema": {"name": "x"}}, b""),
    ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, orjson.dumps(SCHEMA)),
]


@pytest.mark.parametrize(("wanted", "raw"), FORMATS)
def test_formats(wanted: Any, raw: bytes) -> None:
    assert chat(response_format=wanted).format == raw


EFFORTS = [
    ("", None),
    ("none", Think(False)),
    ("minimal", Think(True, "low")),
    ("low", Think(True, "low")),
    ("max", Think(True, "max")),
    ("xhigh", Think(True, "max")),
    ("ultra", Think(True, "max")),
]


@pytest.mark.parametrize(("effort", "think"), EFFORTS)
def test_efforts(effort: str, think: Think | None) -> None:
    assert to_think(effort) == think


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(Untranslatable, match=r'^invalid reasoning value: "High"'):
        to_think("High")


def test_the_effort_of_reasoning_wins_and_both_win_over_think() -> None:
    assert chat(reasoning={"effort": "none"}, reasoning_effort="high", think=True).think == Think(False)
    assert chat(reasoning={}, reasoning_effort="bogus", think="low").think == Think(True, "low")


def test_turning_thoughts_off_in_a_template_turns_them_off() -> None:
    asked = chat(chat_template_kwargs={"enable_thinking": False, "a": 1})
    assert (asked.think, asked.template_kwargs) == (Think(False), {"enable_thinking": False, "a": 1})
    assert chat(chat_template_kwargs={"enable_thinking": True}).think is None
    assert chat(chat_template_kwargs={"enable_thinking": False}, think="high").think == Think(True, "high")


def test_logprobs_are_counted() -> None:
    assert chat(top_logprobs=3).n_logprobs is None
    assert chat(logprobs=True).n_logprobs == 0
    assert chat(logprobs=True, top_logprobs=3).n_logprobs == 3
    assert completion().n_logprobs is None
    assert completion(logprobs=-1).n_logprobs is None
    assert completion(logprobs=0).n_logprobs == 0
    assert completion(logprobs=2).n_logprobs == 2


def test_logprobs_have_limits() -> None:
    with pytest.raises(BadField, match="between 0 and 20"):
        check_chat(read(CHAT, {"model": "m", "top_logprobs": 21}))
    with pytest.raises(BadField, match="between 0 and 20"):
        check_completion(read(COMPLETION, {"model": "m", "logprobs": 21}))
    check_completion(read(COMPLETION, {"logprobs": -1}))


# ---- what Ollama ignores --------------------------------------------------------------------------------------------


def test_several_choices_are_several_variants_of_one_request() -> None:
    wanted = to_chat_requests(read(CHAT, {"model": "m", "messages": MESSAGES, "n": 3, "seed": 5}), 7)
    assert [request.variant for request in wanted] == [0, 1, 2]
    assert {request.options["seed"] for request in wanted} == {5}


PROMPTS: list[tuple[dict[str, Any], list[tuple[str, tuple[int, ...] | None, int]]]] = [
    ({}, [("p", None, 0)]),
    ({"prompt": None}, [("", None, 0)]),
    ({"prompt": ["a", "b"], "n": 2}, [("a", None, 0), ("a", None, 1), ("b", None, 0), ("b", None, 1)]),
    ({"prompt": [1, 2]}, [("", (1, 2), 0)]),
    ({"prompt": [[1], "a", [2, 3]]}, [("", (1,), 0), ("a", None, 0), ("", (2, 3), 0)]),
    ({"n": 1, "best_of": 2}, [("p", None, 0), ("p", None, 1)]),
]


@pytest.mark.parametrize(("fields", "expected"), PROMPTS)
def test_prompts(fields: dict[str, Any], expected: list[tuple[str, tuple[int, ...] | None, int]]) -> None:
    found = completions(**fields)
    assert [(request.prompt, request.prompt_tokens, request.variant) for request in found] == expected
    assert [request.raw for request in found] == [tokens is not None for _, tokens, _ in expected]


def test_candidates_are_ranked_by_their_logprobs() -> None:
    assert completion(best_of=2).n_logprobs == 0
    assert completion(best_of=2, n=2).n_logprobs is None
    assert completion(best_of=2, logprobs=3).n_logprobs == 3


@pytest.mark.parametrize(
    ("fields", "is_scored"),
    [
        ({"echo": True, "logprobs": 0}, True),
        ({"echo": True, "logprobs": 5, "n": 2, "best_of": 2}, True),
        ({"echo": True, "logprobs": 1, "truncate": True}, True),
        ({"echo": True, "logprobs": -1}, False),
        ({"echo": True}, False),
        ({"logprobs": 1}, False),
    ],
)
def test_a_prompt_is_scored_where_it_is_echoed_with_log_probabilities(fields: dict[str, Any], is_scored: bool) -> None:
    for request in completions(**fields):
        assert (request.scores_prompt, request.raw) == (is_scored, is_scored)
        assert not (is_scored and request.truncate)


REFUSED_COMPLETIONS: list[tuple[dict[str, Any], str]] = [
    ({"n": 0}, "n must be between 1 and 128"),
    ({"n": 129}, "n must be between 1 and 128"),
    ({"best_of": 129}, "best_of must be between 1 and 128"),
    ({"n": 3, "best_of": 2}, "best_of must not be less than n"),
    ({"best_of": 2, "stream": True}, "best_of cannot be streamed: which reply is best is known at the end"),
    ({"prompt": ["a"] * 43, "n": 3}, "prompts times n must be between 1 and 128"),
    ({"prompt": [1], "suffix": "x"}, "a prompt of tokens cannot have a suffix"),
    ({"prompt": [1, -1]}, "a prompt has numbers that are no ids of tokens"),
    ({"prompt": [2**31]}, "a prompt has numbers that are no ids of tokens"),
    ({"echo": True, "logprobs": 1, "suffix": "x"}, "a prompt whose logprobs are wanted cannot have a suffix"),
    ({"echo": True, "logprobs": 1, "best_of": 2}, "best_of cannot be combined with echo and logprobs"),
    ({"grammar": "a", "regex": "b"}, "grammar and regex cannot be combined"),
]


@pytest.mark.parametrize(("fields", "text"), REFUSED_COMPLETIONS)
def test_completions_that_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadField) as caught:
        completions(**fields)
    assert str(caught.value) == text


REFUSED_CHATS: list[tuple[dict[str, Any], str]] = [
    ({"max_completion_tokens": 0}, "max_completion_tokens must be at least 1"),
    ({"n": -1}, "n must be between 1 and 128"),
    ({"response_format": {"type": "json_object"}, "grammar": "g"}, "format and grammar cannot be combined"),
    ({"reasoning_budget_tokens": -2}, "reasoning_budget_tokens must be a number of tokens, or -1 for no limit"),
    ({"reasoning_budget_tokens": 2**31}, "reasoning_budget_tokens must be a number of tokens, or -1 for no limit"),
    ({"options": {"top_k": "x"}}, 'option "top_k" must be of type integer'),
    (
        {"options": {"logit_bias": {str(i): 1 for i in range(1025)}}},
        "logit_bias has 1025 entries, at most 1024 are possible",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}, "strict": True}}},
        "a strict json_schema needs a name that matches [A-Za-z0-9_-]{1,64}",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True}}},
        "a strict json_schema needs a schema",
    ),
]


@pytest.mark.parametrize(("fields", "text"), REFUSED_CHATS)
def test_chats_that_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadField) as caught:
        to_chat_requests(read(CHAT, {"model": "m", "messages": MESSAGES} | fields), 7)
    assert str(caught.value) == text


def test_fields_of_puna() -> None:
    asked = chat(grammar="g", reasoning_budget_tokens=0, truncate=True)
    assert (asked.grammar, asked.thinking_budget, asked.truncate) == ("g", 0, True)
    plain = chat(regex="r", reasoning_budget_tokens=-1)
    assert (plain.regex, plain.thinking_budget, plain.truncate) == ("r", None, False)


def test_a_schema_that_is_not_strict_may_have_any_name() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}
    assert chat(response_format=wanted).format == b"{}"


def test_no_messages_are_refused() -> None:
    with pytest.raises(Untranslatable, match=r"\[\] is too short - 'messages'"):
        chat(messages=[])


INPUTS: list[tuple[Any, tuple[Any, ...]]] = [
    ("a", ("a",)),
    ("", ("",)),
    (["a", ""], ("a", "")),
    ([1, 2], ((1, 2),)),
    ([[1], [2, 3]], ((1,), (2, 3))),
]


@pytest.mark.parametrize(("value", "inputs"), INPUTS)
def test_inputs(value: Any, inputs: tuple[Any, ...]) -> None:
    assert to_embed_request(read(EMBEDDING, {"model": "m", "input": value}), 0).inputs == inputs


BAD_INPUTS: list[tuple[dict[str, Any], type[BadField], str]] = [
    ({}, Untranslatable, "invalid input"),
    ({"input": []}, Untranslatable, "invalid input"),
    ({"input": [1, "a"]}, BadField, "invalid input type"),
    ({"input": [[1], []]}, BadField, "invalid input type"),
    ({"input": [[1], "a"]}, BadField, "invalid input type"),
    ({"input": [1.5]}, BadField, "invalid input type"),
    ({"input": [True]}, BadField, "invalid input type"),
    ({"input": 5}, BadField, "invalid input type"),
    (
        {"input": "a", "encoding_format": "int8"},
        Untranslatable,
        "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64'].",
    ),
]


@pytest.mark.parametrize(("fields", "kind", "text"), BAD_INPUTS)
def test_inputs_that_are_refused(fields: dict[str, Any], kind: type[BadField], text: str) -> None:
    with pytest.raises(BadField) as caught:
        to_embed_request(read(EMBEDDING, fields), 0)
    assert (type(caught.value), str(caught.value)) == (kind, text)


PREFIX = "json: cannot unmarshal"
DECODE_ERRORS: list[tuple[Struct, Any, str]] = [
    (CHAT, {"messages": [5]}, "number into Go struct field ChatCompletionRequest.messages of type openai.Message"),
    (CHAT, {"messages": [{"role": 1}]}, "number into Go struct field Message.messages.role of type string"),
    (CHAT, {"tools": {}}, "object into Go struct field ChatCompletionRequest.tools of type []api.Tool"),
    (CHAT, {"stop": {}, "stream": "x"}, "string into Go struct field ChatCompletionRequest.stream of type bool"),
    (
        CHAT,
        {"messages": [{"tool_calls": [{"function": {"arguments": {}}}]}]},
        "object into Go struct field .messages.tool_calls.function.arguments of type string",
    ),
    (
        CHAT,
        {"messages": [{"tool_calls": [{"function": 5}]}]},
        "number into Go struct field ToolCall.messages.tool_calls.function of type "
        'struct { Name string "json:\\"name\\""; Arguments string "json:\\"arguments\\"" }',
    ),
    (COMPLETION, {"prompt": [{}]}, "array into Go struct field CompletionRequest.prompt of type string"),
    (COMPLETION, {"top_p": "a"}, "string into Go struct field CompletionRequest.top_p of type float32"),
    (COMPLETION, {"top_p": 1e39}, "number 1e+39 into Go struct field CompletionRequest.top_p of type float32"),
    (EMBEDDING, {"dimensions": 1.5}, "number 1.5 into Go struct field EmbedRequest.dimensions of type int"),
]


@pytest.mark.parametrize(("struct", "body", "text"), DECODE_ERRORS)
def test_decode_errors(struct: Struct, body: Any, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(struct, body)
    assert str(caught.value) == f"{PREFIX} {text}"
