"""Responses: the union of items, the chat they come to, and the texts for what they cannot be."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from models.errors import RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished, ToolCall, Usage
from models.templates.chat import Message, Think
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.requests import ChatRequest, ToolChoice, ToolUse
from server.routes.events import Event
from server.routes.openai.responses.replies import ResponseEncoder
from server.routes.openai.responses.schema import RESPONSE, ResponseBody
from server.routes.openai.responses.translate import SEARCH_TOOL, to_chat_request
from server.routes.v1 import Untranslatable


def body(**fields: Any) -> ResponseBody:
    found: ResponseBody = decode(RESPONSE, parse(orjson.dumps({"model": "m"} | fields)))
    return found


def translate(**fields: Any) -> ChatRequest:
    return to_chat_request(body(**fields), 7)


# ---- input ---------------------------------------------------------------------------------------------------------

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
CALLED = ToolCall("f", {"a": 1}, 0, "c1")
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "why"}

INPUTS: list[tuple[Any, list[Message]]] = [
    (None, []),
    ("", []),
    ("hi", [Message("user", "hi")]),
    ([{"role": "User", "content": "hi"}], [Message("user", "hi")]),
    ([{"type": "message", "role": "user"}], [Message("user")]),
    ([{"type": "message", "role": "user", "content": None}], [Message("user")]),
    (
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}]}],
        [Message("user", "ab")],
    ),
    (
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}],
        [Message("user", images=(b"\0\0\0",))],
    ),
    ([{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}], [Message("user")]),
    ([CALL], [Message("assistant", tool_calls=(CALLED,))]),
    ([CALL | {"arguments": ""}], [Message("assistant", tool_calls=(ToolCall("f", {}, 0, "c1"),))]),
    (
        [{"role": "assistant", "content": "x"}, CALL, CALL],
        [Message("assistant", "x", tool_calls=(CALLED, CALLED))],
    ),
    (
        [{"type": "function_call_output", "call_id": "c1", "output": "r"}],
        [Message("tool", "r", tool_call_id="c1")],
    ),
    (
        [{"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "r"}]}],
        [Message("tool", "r", tool_call_id="c1")],
    ),
    ([REASONING, {"role": "assistant", "content": "x"}], [Message("assistant", "x", "why")]),
    ([REASONING, CALL], [Message("assistant", thinking="why", tool_calls=(CALLED,))]),
    (
        [REASONING, {"role": "user", "content": "q"}, CALL],
        [Message("user", "q"), Message("assistant", thinking="why", tool_calls=(CALLED,))],
    ),
    ([REASONING], [Message("assistant", thinking="why")]),
    ([{"type": "web_search_call", "id": "ws_1", "status": "completed"}], []),
]


@pytest.mark.parametrize(("value", "messages"), INPUTS)
def test_inputs(value: Any, messages: list[Message]) -> None:
    assert list(translate(input=value).messages) == messages


def test_instructions_come_first() -> None:
    assert translate(input="hi", instructions="I").messages == (Message("system", "I"), Message("user", "hi"))


HEAD_TYPE = 'struct { Type string "json:\\"type\\""; Role string "json:\\"role\\"" }'
ITEM_ERRORS: list[tuple[Any, str]] = [
    (5, "input must be a string or array: json: cannot unmarshal number into Go value of type []json.RawMessage"),
    ({}, "input must be a string or array: json: cannot unmarshal object into Go value of type []json.RawMessage"),
    ([{}], "input[0]: input item missing required 'type' field"),
    ([None], "input[0]: input item missing required 'type' field"),
    (["a", {"type": "zzz"}], f"input[0]: json: cannot unmarshal string into Go value of type {HEAD_TYPE}"),
    ([{"type": "zzz"}], 'input[0]: unknown input item type: "zzz"'),
    ([{"type": 1}], "input[0]: json: cannot unmarshal number into Go struct field .type of type string"),
    ([{"role": "u", "content": [{"type": "zzz"}]}], "input[0]: content[0]: unknown content type: zzz"),
    (
        [{"role": "u", "content": [{"type": "input_text", "text": 5}]}],
        "input[0]: content[0]: json: cannot unmarshal number into Go struct field "
        "ResponsesTextContent.text of type string",
    ),
    (
        [{"role": "u", "content": 5}],
        "input[0]: content must be a string or array: json: cannot unmarshal number into Go value of type "
        "[]json.RawMessage",
    ),
    (
        [{"type": "function_call_output", "output": True}],
        "input[0]: output must be a string or array: json: cannot unmarshal bool into Go value of type "
        "[]json.RawMessage",
    ),
    (
        [{"type": "function_call", "arguments": {}}],
        "input[0]: json: cannot unmarshal object into Go struct field ResponsesFunctionCall.arguments of type string",
    ),
]


@pytest.mark.parametrize(("value", "text"), ITEM_ERRORS)
def test_items_that_cannot_be_read(value: Any, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        body(input=value, model=5)  # the mismatch that was met first counts less
    assert str(caught.value) == text


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"input": [{"role": "u", "content": [{"type": "input_file"}]}]}, "file inputs are not currently supported"),
    (
        {"input": [CALL | {"arguments": "{"}]},
        "failed to parse function call arguments: unexpected end of JSON input",
    ),
    (
        {"input": [CALL | {"arguments": "{} x"}]},
        "failed to parse function call arguments: invalid character 'x' after top-level value",
    ),
    (
        {"tools": [{"type": "function", "parameters": {"type": 5}}]},
        "failed to unmarshal tool parameters: json: cannot unmarshal number into Go struct field "
        "ToolFunctionParameters.type of type string",
    ),
    (
        {"reasoning": {"effort": "much"}},
        'invalid reasoning value: "much" '
        '(must be "minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none")',
    ),
]


@pytest.mark.parametrize(("fields", "text"), REFUSALS)
def test_what_cannot_be_translated(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(**fields)
    assert str(caught.value) == text


# ---- the rest of the request ---------------------------------------------------------------------------------------


def test_options() -> None:
    assert translate().options == {"temperature": 1.0}
    fields = {"temperature": 0, "top_p": 0.5, "max_output_tokens": 9, "top_logprobs": 3}
    assert translate(**fields).options == {"temperature": 0, "top_p": 0.5, "num_predict": 9}


def test_effort_and_format() -> None:
    request = translate(
        reasoning={"effort": "none"}, text={"format": {"type": "json_schema", "name": "n", "schema": {"b": 1, "a": 2}}}
    )
    assert (request.think, request.format) == (Think(False), b'{"b":1,"a":2}')
    assert translate(text={"format": {"type": "json_object"}}).format == b'"json"'


def function(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "name": name} | fields


def names(*tools: Any) -> list[str]:
    return [tool["function"]["name"] for tool in translate(tools=tools).tools]


def test_a_function_is_declared_flat_and_its_schema_sorted() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string", "minLength": 1}, "a": {"type": "number"}}}
    (tool,) = translate(tools=[function("f", description="d", parameters=schema)]).tools
    assert orjson.dumps(tool) == (
        b'{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object",'
        b'"properties":{"a":{"type":"number"},"b":{"type":"string"}}}}}'
    )


def test_a_namespace_is_its_functions() -> None:
    inner = [function("f"), function("ns.g"), {"type": "namespace", "name": "sub", "tools": [function("h")]}]
    assert names({"type": "namespace", "name": "ns", "tools": inner}) == ["ns.f", "ns.g", "ns.sub.h"]
    assert names({"type": "namespace", "name": "", "tools": [function("f")]}) == ["f"]


def test_a_search_takes_the_name_of_other_functions() -> None:
    tools = translate(tools=[function("web_search"), {"type": "web_search"}, function("f")]).tools
    assert [tool["function"]["name"] for tool in tools] == ["web_search", "f"]
    assert tools[0] == SEARCH_TOOL


# ---- replies -------------------------------------------------------------------------------------------------------

IDS = re.compile(r'"(resp|msg|rs|fc|rs_resp|fc_resp)_\d{1,6}')
TIMES = re.compile(r'"(created_at|completed_at)":\d+')
USAGE = Usage(n_prompt=7, n_generated=3)
STOP = Finished(DoneReason.STOP, USAGE)
TOOL_CALL = ToolCall("f", {"a": 1}, 0, "c1")


def stable(text: bytes) -> str:
    return TIMES.sub(r'"\1":1', IDS.sub(r'"\1_N', text.decode()))


def streamed(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    encoder = ResponseEncoder(body(**fields))
    text = stable(b"".join(encoder.record(event) for event in events))
    records = [record.split("\n") for record in text.split("\n\n")[:-1]]
    payloads = [orjson.loads(data.removeprefix("data: ")) for _, data in records]
    assert [kind.removeprefix("event: ") for kind, _ in records] == [p["type"] for p in payloads]
    assert [p["sequence_number"] for p in payloads] == list(range(len(payloads)))
    return payloads


def kinds(*events: Event) -> list[str]:
    return [payload["type"].removeprefix("response.") for payload in streamed(*events)]


TEXT = ["output_item.added", "content_part.added", "output_text.delta"]
TEXT_DONE = ["output_text.done", "content_part.done", "output_item.done"]
THOUGHT = ["output_item.added", "reasoning_summary_text.delta"]
THOUGHT_DONE = ["reasoning_summary_text.done", "output_item.done"]
CALLING = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]

ORDERS: list[tuple[list[Event], list[str]]] = [
    ([STOP], []),
    ([Delta("a"), Delta("b"), STOP], [*TEXT, "output_text.delta", *TEXT_DONE]),
    ([Delta(thinking="t"), Delta("a"), STOP], [*THOUGHT, *THOUGHT_DONE, *TEXT, *TEXT_DONE]),
    ([Delta("a", "t"), STOP], [*THOUGHT, *THOUGHT_DONE, *TEXT, *TEXT_DONE]),
    ([Delta(thinking="t"), STOP], [*THOUGHT, *THOUGHT_DONE]),
    ([Delta(tool_calls=(TOOL_CALL,)), STOP], CALLING),
    ([Delta("a"), Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(TOOL_CALL,) * 2))], [*TEXT, *CALLING, *CALLING]),
    ([Delta("x", tool_calls=(TOOL_CALL,)), Delta("b"), STOP], CALLING),
]


@pytest.mark.parametrize(("events", "order"), ORDERS)
def test_the_order_of_events(events: list[Event], order: list[str]) -> None:
    assert kinds(*events) == ["created", "in_progress", *order, "completed"]


def test_an_abandoned_reply_is_not_completed() -> None:
    assert kinds(Delta("a"), Finished(None)) == ["created", "in_progress", *TEXT]


def test_the_first_call_takes_the_place_of_an_open_message() -> None:
    payloads = streamed(Delta("a"), Delta(tool_calls=(TOOL_CALL, TOOL_CALL)), STOP)
    added = [p for p in payloads if p["type"] == "response.output_item.added"]
    assert [(p["output_index"], p["item"]["id"]) for p in added] == [(0, "msg_N"), (0, "fc_N_0"), (1, "fc_N_1")]
    output = payloads[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["function_call", "function_call", "message"]


def test_nothing_said_is_no_output() -> None:
    assert streamed(STOP)[-1]["response"]["output"] is None


def test_what_is_echoed() -> None:
    fields: dict[str, Any] = {
        "instructions": "I",
        "reasoning": {"effort": "high"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"b": 1}, "strict": True}},
        "truncation": "auto",
        "max_output_tokens": 5,
        "background": True,
        "top_p": 0.5,
        "tools": [{"type": "namespace", "name": "ns", "tools": [function("f")]}],
    }
    tool = {"type": "namespace", "name": "ns", "description": None, "strict": None, "parameters": None}
    echoed = {"instructions": "I", "truncation": "auto", "max_output_tokens": 5, "background": True, "top_p": 0.5}
    echoed |= {"text": fields["text"]}
    created = streamed(STOP, **fields)[0]["response"]
    assert echoed.items() <= created.items()
    assert created["reasoning"] == {"effort": "high", "summary": None}
    assert created["tools"] == [tool]
    whole = orjson.loads(ResponseEncoder(body(**fields)).collect([STOP]).body)
    assert echoed.items() <= whole.items()
    assert whole["reasoning"] == {"effort": "high"}
    assert whole["tools"] == [tool | {"tools": [tool | {"type": "function", "name": "f"}]}]


def test_choices_of_tools_are_kept_and_echoed() -> None:
    fields: dict[str, Any] = {
        "tools": [function("f"), function("g")],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
    }
    request = translate(**fields)
    assert (request.tool_choice, request.parallel_tool_calls) == (ToolChoice(ToolUse.REQUIRED, "f"), False)
    created = streamed(STOP, **fields)[0]["response"]
    assert (created["tool_choice"], created["parallel_tool_calls"]) == (fields["tool_choice"], False)
    plain = streamed(STOP)[0]["response"]
    assert (plain["tool_choice"], plain["parallel_tool_calls"]) == ("auto", True)


@pytest.mark.parametrize(
    ("fields", "is_cut"), [({}, False), ({"truncation": "disabled"}, False), ({"truncation": "auto"}, True),
                           ({"truncate": True}, True)],
)  # fmt: skip
def test_a_prompt_is_cut_only_if_the_request_says_so(fields: dict[str, Any], is_cut: bool) -> None:
    assert translate(**fields).truncate is is_cut


@pytest.mark.parametrize(("wanted", "numbers"), [(False, (0, 0)), (True, (4, 2))])
def test_details_of_the_usage(wanted: bool, numbers: tuple[int, int]) -> None:
    finished = Finished(DoneReason.STOP, Usage(n_prompt=7, n_cached=4, n_generated=3, n_thinking=2))
    usage = orjson.loads(ResponseEncoder(body(), with_details=wanted).collect([finished]).body)["usage"]
    cached, thought = usage["input_tokens_details"], usage["output_tokens_details"]
    assert (cached["cached_tokens"], thought["reasoning_tokens"]) == numbers


def test_a_strict_schema_needs_a_name() -> None:
    with pytest.raises(Untranslatable, match="needs a name"):
        translate(text={"format": {"type": "json_schema", "schema": {}, "strict": True}})


def test_a_whole_response_drops_text_beside_calls() -> None:
    answer = ResponseEncoder(body()).collect([Delta("x", "t"), Delta(tool_calls=(TOOL_CALL,)), STOP])
    assert stable(answer.body).split('"output":')[1].split(',"error"')[0] == (
        '[{"id":"rs_resp_N","type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"t"},'
        '{"id":"fc_resp_N_0","type":"function_call","status":"completed","call_id":"c1","name":"f",'
        '"arguments":"{\\"a\\":1}"}]'
    )


def test_a_failure_ends_the_stream() -> None:
    encoder = ResponseEncoder(body())
    encoder.record(Delta("a"))
    payload = orjson.loads(encoder.failure(RunnerCrashed("gone")).split(b"data: ")[1])
    assert (payload["type"], payload["sequence_number"]) == ("response.failed", 5)
    assert payload["response"]["status"] == "failed"
    assert payload["response"]["error"] == {"code": "server_error", "message": "gone"}
