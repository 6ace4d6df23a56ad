"""From bodies to requests, and back for messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.parsers.events import ToolCall
from registry.gojson import encode
from server.errors import BadField
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.routes.native.schema import (
    CHAT,
    EMBED,
    EMBEDDING,
    GENERATE,
    ChatBody,
    EmbedBody,
    EmbeddingBody,
    GenerateBody,
)
from server.routes.native.translate import (
    from_message,
    to_chat_request,
    to_embed_request,
    to_embedding_request,
    to_generate_request,
)


def chat_body(value: object) -> ChatBody:
    body: ChatBody = decode(CHAT, parse(json.dumps(value).encode()))
    return body


def generate_body(**fields: Any) -> GenerateBody:
    body: GenerateBody = decode(GENERATE, parse(json.dumps(fields).encode()))
    return body


def tool(value: object) -> Any:
    return to_chat_request(chat_body({"model": "m", "tools": [value]}), 0).tools[0]


def test_a_tool_keeps_the_known_keys_in_their_order() -> None:
    sent = {
        "strict": True,
        "function": {
            "parameters": {
                "properties": {
                    "z": {"description": "d", "type": "string", "default": 1, "enum": ["b", "a"]},
                    "a": {"type": ["integer", "null"], "minimum": 0, "items": {"y": 1, "x": 2}},
                },
                "required": ["z"],
                "additionalProperties": False,
                "type": "object",
                "$defs": {"q": 1},
            },
            "description": "what",
            "name": "f",
        },
        "type": "function",
    }
    assert encode(tool(sent)).decode() == (
        '{"type":"function","function":{"name":"f","description":"what","parameters":{"type":"object","$defs":{"q":1},'
        '"required":["z"],"properties":{"z":{"type":"string","description":"d","enum":["b","a"]},'
        '"a":{"type":["integer","null"],"items":{"x":2,"y":1}}}}}}'
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({}, '{"type":"","function":{"name":"","parameters":{"type":"","properties":null}}}'),
        (
            {"function": {"parameters": {"properties": {}}}},
            '{"type":"","function":{"name":"","parameters":{"type":"","properties":{}}}}',
        ),
        (
            {
                "function": {
                    "parameters": {"properties": {"a": {"type": [], "properties": {}, "required": [], "enum": []}}}
                }
            },
            '{"type":"","function":{"name":"","parameters":{"type":"","properties":{"a":{"properties":{}}}}}}',
        ),
        (
            {"items": 0, "function": {"parameters": {"properties": {"a": {"anyOf": [{"type": "x"}]}}}}},
            '{"type":"","items":0,"function":{"name":"","parameters":{"type":"","properties":{"a":{"anyOf":[{"type":"x"}]}}}}}',
        ),
    ],
)
def test_what_a_tool_lacks_is_left_out_or_printed_empty(sent: object, kept: str) -> None:
    assert encode(tool(sent)).decode() == kept


def test_messages_are_taken_over() -> None:
    call = {"id": "c1", "function": {"name": "f", "index": 2, "arguments": {"b": 1, "a": {"x": 1.5}}}}
    sent = {"role": "ASSISTANT", "content": "c", "thinking": "t", "images": ["aGk="], "tool_calls": [call]}
    request = to_chat_request(chat_body({"model": "m", "messages": [sent, {"role": "tool", "tool_name": "f"}]}), 5)
    first, second = request.messages
    assert (first.role, first.content, first.thinking, first.images) == ("assistant", "c", "t", (b"hi",))
    assert first.tool_calls == (ToolCall("f", {"b": 1, "a": {"x": 1.5}}, 2, "c1"),)
    assert (second.role, second.tool_name) == ("tool", "f")
    assert request.arrived_ns == 5


def test_a_message_is_written_as_it_was_read() -> None:
    call = {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"b": {"y": 1, "x": 2}, "a": 1}}}
    sent = {
        "role": "user",
        "content": "<b>",
        "thinking": "t",
        "images": ["aGk="],
        "tool_calls": [call],
        "tool_name": "n",
    }
    text = encode(from_message(chat_body({"messages": [sent]}).messages[0])).decode()
    assert text == (
        '{"role":"user","content":"\\u003cb\\u003e","thinking":"t","images":["aGk="],"tool_calls":[{"id":"c1",'
        '"function":{"index":0,"name":"f","arguments":{"b":{"x":2,"y":1},"a":1}}}],"tool_name":"n"}'
    )


def test_a_chat_needs_a_model_but_a_generate_request_finds_out_later() -> None:
    with pytest.raises(BadField, match="model is required"):
        to_chat_request(chat_body({"model": " "}), 0)
    assert to_generate_request(generate_body(), 0).model == ""


@pytest.mark.parametrize("count", [-1, 21])
def test_the_number_of_log_probabilities_is_checked_first(count: int) -> None:
    with pytest.raises(BadField, match="top_logprobs must be between 0 and 20"):
        to_chat_request(chat_body({"top_logprobs": count}), 0)
    with pytest.raises(BadField, match="top_logprobs must be between 0 and 20"):
        to_generate_request(generate_body(top_logprobs=count), 0)


@pytest.mark.parametrize(
    ("fields", "n"),
    [({}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 3}, 3), ({"top_logprobs": 3}, None)],
)
def test_log_probabilities_are_counted(fields: dict[str, Any], n: int | None) -> None:
    assert to_generate_request(generate_body(**fields), 0).n_logprobs == n


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"grammar": "root ::= x"}, False),
        ({"regex": "a+", "format": None}, False),
        ({"regex": "a+", "format": ""}, False),
        ({"regex": "a+", "grammar": ""}, False),
        ({"regex": "a+", "format": "json"}, True),
        ({"grammar": "root ::= x", "format": {"type": "object"}}, True),
        ({"grammar": "root ::= x", "regex": "a+"}, True),
    ],
)
def test_a_reply_matches_one_constraint(fields: dict[str, Any], refused: bool) -> None:
    converts = (
        lambda: to_chat_request(chat_body({"model": "m", **fields}), 0),
        lambda: to_generate_request(generate_body(model="m", **fields), 0),
    )
    for convert in converts:
        if refused:
            with pytest.raises(BadField, match="cannot be combined"):
                convert()
        else:
            request = convert()
            assert (request.grammar, request.regex) == (fields.get("grammar", ""), fields.get("regex", ""))


@pytest.mark.parametrize(("said", "n_tokens"), [(None, None), (-1, None), (0, 0), (500, 500)])
def test_a_thought_may_be_bounded(said: int | None, n_tokens: int | None) -> None:
    assert to_chat_request(chat_body({"model": "m", "thinking_budget": said}), 0).thinking_budget == n_tokens
    assert to_generate_request(generate_body(model="m", thinking_budget=said), 0).thinking_budget == n_tokens


def test_truncation_is_on_unless_turned_off() -> None:
    assert [to_generate_request(generate_body(truncate=t), 0).truncate for t in (None, True, False)] == [
        True,
        True,
        False,
    ]
    assert [to_generate_request(generate_body(shift=s), 0).shift for s in (None, True, False)] == [None, True, False]


def test_an_empty_context_is_not_an_absent_one() -> None:
    assert to_generate_request(generate_body(context=[]), 0).context == ()
    assert to_generate_request(generate_body(), 0).context is None


@pytest.mark.parametrize(("value", "inputs"), [(None, ()), ("", ()), ([], ()), ("a", ("a",)), (["", "a"], ("", "a"))])
def test_inputs_to_embed(value: object, inputs: tuple[str, ...]) -> None:
    assert to_embed_request(EmbedBody(model="m", input=value), 0).inputs == inputs


@pytest.mark.parametrize("value", [5, ["a", 1], {"a": 1}, True, [None]])
def test_anything_else_is_no_input(value: object) -> None:
    with pytest.raises(BadField, match="invalid input type"):
        to_embed_request(EmbedBody(model="m", input=value), 0)


def test_the_older_endpoint_leaves_vectors_and_texts_as_they_are() -> None:
    body: EmbeddingBody = decode(EMBEDDING, parse(b'{"model":"m","prompt":"p"}'))
    request = to_embedding_request(body, 0)
    assert (request.inputs, request.normalize, request.truncate) == (("p",), False, False)
    body_of_embed: EmbedBody = decode(EMBED, parse(b'{"model":"m","dimensions":3}'))
    assert (to_embed_request(body_of_embed, 0).dimensions, to_embed_request(body_of_embed, 0).truncate) == (3, True)
