"""The bodies of the native API and the texts for what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.templates.chat import Think
from server.durations import MAX_DURATION, SECOND
from server.json_decoding.containers import Struct
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.routes.native.schema import CHAT, CREATE, EMBED, GENERATE, PULL, SHOW, ChatBody, CreateBody, GenerateBody

GOLDEN = Path(__file__).parents[3] / "conformance" / "golden"
BY_PATH = {"/api/chat": CHAT, "/api/generate": GENERATE, "/api/embed": EMBED, "/api/show": SHOW}


def read(struct: Struct, value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    return decode(struct, parse(text.encode()))


def error_of(struct: Struct, value: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        read(struct, value)
    return str(caught.value)


def recorded() -> Iterator[tuple[Struct, str, str]]:
    """Bodies that the original refused while it decoded them, with its text."""
    for file in ("json-chat-a", "json-generate-a", "json-others-a"):
        for exchange in json.loads((GOLDEN / f"{file}.json").read_text("utf-8"))["exchanges"]:
            request, answer = exchange["request"], exchange["response"]
            struct = BY_PATH.get(request["path"])
            text = json.loads(answer["body"]).get("error", "")
            is_decoding = text.startswith(("json:", "invalid character", "illegal base64", "unexpected EOF"))
            if struct and "text" in request and is_decoding:
                yield struct, request["text"], text


@pytest.mark.parametrize(("struct", "body", "text"), list(recorded()))
def test_what_the_original_refused_is_refused_in_its_words(struct: Struct, body: str, text: str) -> None:
    assert error_of(struct, body) == text


def test_recordings_are_there() -> None:
    assert len(list(recorded())) > 30


@pytest.mark.parametrize(
    ("message", "path", "kind"),
    [
        ({"tool_calls": {}}, "messages.tool_calls", "object:[]api.ToolCall"),
        ({"tool_calls": [5]}, "messages.tool_calls", "number:api.ToolCall"),
        ({"tool_calls": [{"function": []}]}, "messages.tool_calls.function", "array:api.ToolCallFunction"),
        ({"tool_calls": [{"function": {"name": 5}}]}, "messages.tool_calls.function.name", "number:string"),
        ({"tool_calls": [{"function": {"index": "0"}}]}, "messages.tool_calls.function.index", "string:int"),
        ({"tool_name": True}, "messages.tool_name", "bool:string"),
    ],
)
def test_errors_in_messages_name_the_request_and_the_whole_path(message: object, path: str, kind: str) -> None:
    value, _, go_type = kind.partition(":")
    expected = f"json: cannot unmarshal {value} into Go struct field ChatRequest.{path} of type {go_type}"
    assert error_of(CHAT, {"messages": [message]}) == expected


@pytest.mark.parametrize(
    ("tool", "field", "kind"),
    [
        ("x", "ChatRequest.tools", "string:api.Tool"),
        ({"function": "x"}, "Tool.tools.function", "string:api.ToolFunction"),
        ({"function": {"name": 1}}, "ToolFunction.tools.function.name", "number:string"),
        (
            {"function": {"parameters": []}},
            "ToolFunction.tools.function.parameters",
            "array:api.ToolFunctionParameters",
        ),
        (
            {"function": {"parameters": {"required": "x"}}},
            "ToolFunctionParameters.tools.function.parameters.required",
            "string:[]string",
        ),
        (
            {"function": {"parameters": {"properties": {"a": {"type": 5}}}}},
            "ToolFunctionParameters.tools.function.parameters.properties.type",
            "number:[]string",
        ),
        (
            {"function": {"parameters": {"properties": {"a": {"type": [5]}}}}},
            "ToolFunctionParameters.tools.function.parameters.properties.type",
            "number:string",
        ),
    ],
)
def test_errors_in_tools_name_the_innermost_struct(tool: object, field: str, kind: str) -> None:
    value, _, go_type = kind.partition(":")
    assert (
        error_of(CHAT, {"tools": [tool]})
        == f"json: cannot unmarshal {value} into Go struct field {field} of type {go_type}"
    )


NO_OBJECT = "Value looks like object, but can't find closing '}' symbol"


@pytest.mark.parametrize("value", ["x", [1], 5, True])
def test_arguments_and_properties_must_be_objects(value: object) -> None:
    call = {"function": {"name": "f", "arguments": value}}
    assert error_of(CHAT, {"messages": [{"role": "assistant", "tool_calls": [call]}]}) == NO_OBJECT
    assert error_of(CHAT, {"tools": [{"function": {"parameters": {"properties": value}}}]}) == NO_OBJECT


@pytest.mark.parametrize(
    ("value", "think"),
    [
        (None, None),
        (True, Think(True)),
        (False, Think(False)),
        ("low", Think(True, "low")),
        ("max", Think(True, "max")),
    ],
)
def test_think_is_a_flag_or_a_level(value: object, think: Think | None) -> None:
    assert read(CHAT, {"think": value}).think == think


@pytest.mark.parametrize("value", [1, [], {}])
def test_think_is_nothing_else(value: object) -> None:
    expected = 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'
    assert error_of(CHAT, {"think": value}) == expected


@pytest.mark.parametrize("value", ["weird", "true", "", "High"])
def test_think_knows_its_levels(value: str) -> None:
    expected = f'invalid think value: "{value}" (must be "high", "medium", "low", "max", true, or false)'
    assert error_of(GENERATE, {"think": value}) == expected


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (None, None),
        (0, 0),
        (1.5, 1_500_000_000),
        (-1, MAX_DURATION),
        (1e300, MAX_DURATION),
        ("0", 0),
        ("0s", 0),
        ("10m", 600 * SECOND),
        ("-1s", MAX_DURATION),
    ],
)
def test_keep_alive_is_seconds_or_a_duration(value: object, ns: int | None) -> None:
    assert read(EMBED, {"keep_alive": value}).keep_alive == ns


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", 'time: invalid duration "abc"'),
        ("10", 'time: missing unit in duration "10"'),
        (True, "Unsupported type: 'bool'"),
        ([], "Unsupported type: '[]interface {}'"),
        ({}, "Unsupported type: 'map[string]interface {}'"),
    ],
)
def test_a_bad_keep_alive_has_its_text(value: object, text: str) -> None:
    assert error_of(GENERATE, {"model": 1, "keep_alive": value}) == text


def test_a_whole_generate_body() -> None:
    body = read(
        GENERATE,
        '{"MODEL":"m","prompt":"p","stream":false,"context":[1,2],"images":["aGk="],"options":{"seed":7},'
        '"format":{"type":"object"},"_debug_render_only":true,"logprobs":true,"top_logprobs":2,"width":5}',
    )
    assert body == GenerateBody(
        model="m",
        prompt="p",
        stream=False,
        context=[1, 2],
        images=[b"hi"],
        options={"seed": 7},
        format=b'{"type":"object"}',
        debug_render_only=True,
        logprobs=True,
        top_logprobs=2,
    )


def test_a_role_is_kept_and_a_null_message_is_empty() -> None:
    body: ChatBody = read(CHAT, {"messages": [None, {"role": "USER", "content": None}]})
    assert [(m.role, m.content) for m in body.messages] == [("", ""), ("USER", "")]


def test_properties_of_properties() -> None:
    inner = {"type": ["string", "null"], "anyOf": [{"type": "integer"}]}
    tool = {"function": {"parameters": {"properties": {"a": {"type": "object", "properties": {"b": inner}}}}}}
    properties = read(CHAT, {"tools": [tool]}).tools[0].function.parameters.properties
    assert properties["a"].type == ["object"]
    assert properties["a"].properties["b"].type == ["string", "null"]
    assert properties["a"].properties["b"].anyOf[0].type == ["integer"]
    assert properties["a"].properties["b"].properties is None


def test_properties_without_end_are_refused() -> None:
    value = '{"properties":{"a":' * 3000 + "{}" + "}}" * 3000
    assert error_of(CHAT, f'{{"tools":[{{"function":{{"parameters":{value}}}}}]}}') == "exceeded max depth"


def test_an_empty_map_of_files_is_not_an_absent_one() -> None:
    assert [read(CREATE, text).files for text in ("{}", '{"files":null}', '{"files":{}}')] == [None, None, {}]


def test_the_older_names_are_fields_of_their_own() -> None:
    body: CreateBody = read(CREATE, {"name": "n", "quantization": "q", "from": "f"})
    assert (body.model, body.name, body.quantize, body.quantization, body.from_name) == ("", "n", "", "q", "f")


def test_flags_of_transfers() -> None:
    body = read(PULL, {"name": "n", "model": "", "insecure": True, "stream": False, "username": "u"})
    assert (body.name, body.insecure, body.stream) == ("n", True, False)
