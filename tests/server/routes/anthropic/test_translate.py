"""What Anthropic's messages are translated to, and the texts for what they cannot be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.requests import ChatRequest, ToolChoice, ToolUse
from server.routes.anthropic.estimate import estimate_tokens
from server.routes.anthropic.schema import MESSAGES, MessagesBody
from server.routes.anthropic.translate import SEARCH_TOOL, to_chat_request, to_prompt_request
from server.routes.v1 import Untranslatable

HI = [{"role": "user", "content": "hi"}]


def body(**fields: Any) -> MessagesBody:
    found: MessagesBody = decode(
        MESSAGES, parse(orjson.dumps({"model": "m", "max_tokens": 9, "messages": HI} | fields))
    )
    return found


def translate(**fields: Any) -> ChatRequest:
    return to_chat_request(body(**fields), 7)


# ---- messages ------------------------------------------------------------------------------------------------------

PIXELS = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": 2}}
USED = ToolCall("f", {"b": 1, "a": 2}, 0, "t1")
RESULT = {"type": "tool_result", "tool_use_id": "t1"}


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


BLOCKS: list[tuple[str, Any, list[Message]]] = [
    ("User", "hi", [Message("user", "hi")]),
    ("user", "", []),
    ("user", None, []),
    ("user", [], []),
    ("user", [text("a"), text("b"), {"type": "text"}], [Message("user", "ab")]),
    ("user", [{"type": "image", "source": PIXELS}, text("a")], [Message("user", "a", images=(b"\0\0\0",))]),
    ("assistant", [{"type": "thinking", "thinking": "t", "signature": "s"}], [Message("assistant", "", "t")]),
    ("assistant", [text("a"), USE], [Message("assistant", "a", tool_calls=(USED,))]),
    ("assistant", [{"type": "server_tool_use"}], [Message("assistant", tool_calls=(ToolCall("", {}, 0, ""),))]),
    ("user", [{"type": "redacted_thinking", "data": "x"}, {"type": "document"}], []),
    (
        "user",
        [text("a"), RESULT | {"content": "r", "is_error": True}],
        [Message("tool", "r", tool_call_id="t1"), Message("user", "a")],
    ),
    (
        "assistant",
        [RESULT | {"content": "r"}, text("a")],
        [Message("assistant", "a"), Message("tool", "r", tool_call_id="t1")],
    ),
    ("user", [RESULT], [Message("tool", tool_call_id="t1")]),
    (
        "user",
        [RESULT | {"content": [text("a"), {"type": "image", "source": PIXELS}, text("b"), 5]}],
        [Message("tool", "ab", images=(b"\0\0\0",), tool_call_id="t1")],
    ),
    (
        "user",
        [
            {
                "type": "web_search_tool_result",
                "tool_use_id": "t1",
                "content": [{"type": "web_search_result", "title": "T", "url": "U"}],
            }
        ],
        [Message("tool", "- T: U\n", tool_call_id="t1")],
    ),
    (
        "user",
        [{"type": "web_search_tool_result", "content": {"type": "web_search_tool_result_error", "error_code": "e"}}],
        [Message("tool", "web_search_tool_result_error: e")],
    ),
]


@pytest.mark.parametrize(("role", "content", "messages"), BLOCKS)
def test_blocks(role: str, content: Any, messages: list[Message]) -> None:
    assert list(translate(messages=[{"role": role, "content": content}]).messages) == messages


SYSTEMS: list[tuple[Any, str]] = [
    (None, ""),
    ("", ""),
    ("S", "S"),
    ([text("a"), text("b"), {"type": "other", "text": "x"}, 5], "ab"),
    ([], ""),
    (5, ""),
]


@pytest.mark.parametrize(("system", "said"), SYSTEMS)
def test_systems(system: Any, said: str) -> None:
    first = translate(system=system).messages[0]
    assert (first.content if first.role == "system" else "") == said


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"model": "", "max_tokens": 0}, "model is required"),
    ({"max_tokens": 0, "messages": []}, "max_tokens is required and must be positive"),
    ({"messages": []}, "messages is required"),
]
BLOCK_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"type": "image"}, "invalid image source"),
    (
        {"type": "image", "source": {"type": "url", "url": "http://x"}},
        "invalid image source type: url. Only base64 images are supported.",
    ),
    (
        {"type": "image", "source": {"type": "base64", "data": "A"}},
        "invalid base64 image data: illegal base64 data at input byte 0",
    ),
    (USE | {"id": ""}, "tool_use block missing required 'id' field"),
    (USE | {"name": ""}, "tool_use block missing required 'name' field"),
    (RESULT | {"content": [{"type": "image"}]}, "invalid tool_result image source"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSALS)
def test_what_is_required(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(**fields)
    assert str(caught.value) == said


@pytest.mark.parametrize(("block", "said"), BLOCK_REFUSALS)
def test_blocks_that_cannot_be_translated(block: dict[str, Any], said: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(messages=[{"role": "user", "content": [block]}])
    assert str(caught.value) == said


def test_counting_needs_no_limit() -> None:
    assert to_prompt_request(body(max_tokens=0), 0).messages == (Message("user", "hi"),)


DECODE_ERRORS: list[tuple[Any, str]] = [
    ([{"role": "user"}], "unexpected end of JSON input"),
    ([None], "unexpected end of JSON input"),
    (
        [{"role": 1, "content": ""}],
        "json: cannot unmarshal number into Go struct field MessagesRequest.messages.role of type string",
    ),
    (
        [{"role": "user", "content": 5}],
        "json: cannot unmarshal number into Go struct field MessagesRequest.messages of type []anthropic.ContentBlock",
    ),
    (
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
        "json: cannot unmarshal number into Go struct field MessagesRequest.messages.text of type string",
    ),
    (
        [{"role": "user", "content": [{"type": "tool_use", "input": "x"}]}],
        "Value looks like object, but can't find closing '}' symbol",
    ),
    (
        {},
        "json: cannot unmarshal object into Go struct field MessagesRequest.messages of type []anthropic.MessageParam",
    ),
]


@pytest.mark.parametrize(("messages", "said"), DECODE_ERRORS)
def test_messages_that_cannot_be_read(messages: Any, said: str) -> None:
    with pytest.raises(DecodeError) as caught:
        body(messages=messages)
    assert str(caught.value) == said


# ---- the rest of the request ---------------------------------------------------------------------------------------


def test_only_what_is_said_becomes_an_option() -> None:
    assert translate().options == {"num_predict": 9}
    fields = {"temperature": 0, "top_p": 0.5, "top_k": 3, "stop_sequences": ["x"]}
    assert translate(**fields).options == {
        "num_predict": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "stop": ["x"],
    }
    assert translate(options={"min_p": 0.1, "num_predict": 5}, num_ctx=64, stop_sequences=[]).options == {
        "min_p": 0.1,
        "num_ctx": 64,
        "num_predict": 9,
    }


THINKING: list[tuple[dict[str, Any], Think | None]] = [
    ({}, None),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Think(True)),
    ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, Think(False)),
    ({"thinking": {"type": "adaptive"}}, None),
    ({"thinking": {"type": "adaptive"}, "output_config": {"effort": " Max "}}, Think(True, "max")),
    ({"output_config": {"effort": "xhigh"}}, Think(True, "high")),
    ({"output_config": {"effort": "bogus"}}, None),
]


@pytest.mark.parametrize(("fields", "think"), THINKING)
def test_thinking(fields: dict[str, Any], think: Think | None) -> None:
    request = translate(**fields)
    assert (request.think, request.think_if_able) == (think, True)


# ---- what Ollama ignores --------------------------------------------------------------------------------------------

BUDGETS: list[tuple[dict[str, Any], int | None]] = [
    ({}, None),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, 1024),
    ({"thinking": {"type": "enabled"}}, None),
    ({"thinking": {"type": "disabled", "budget_tokens": 1024}}, None),
    ({"reasoning_budget_tokens": 5}, 5),
    ({"thinking": {"type": "enabled", "budget_tokens": 7}, "reasoning_budget_tokens": 5}, 7),
]


@pytest.mark.parametrize(("fields", "budget"), BUDGETS)
def test_budgets_of_thoughts(fields: dict[str, Any], budget: int | None) -> None:
    assert translate(**fields).thinking_budget == budget


CHOICES: list[tuple[Any, ToolChoice, bool]] = [
    (None, ToolChoice(), True),
    ({"type": "auto"}, ToolChoice(), True),
    ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
    ({"type": "none"}, ToolChoice(ToolUse.NONE), True),
    ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(ToolUse.REQUIRED), False),
    ({"type": "tool", "name": "f"}, ToolChoice(ToolUse.REQUIRED, "f"), True),
]


@pytest.mark.parametrize(("value", "choice", "parallel"), CHOICES)
def test_tool_choices(value: Any, choice: ToolChoice, parallel: bool) -> None:
    request = translate(tool_choice=value)
    assert (request.tool_choice, request.parallel_tool_calls) == (choice, parallel)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tool_choice": {"type": "bogus"}}, "invalid tool_choice"),
    ({"tool_choice": {"type": "tool"}}, "invalid tool_choice"),
    ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "budget_tokens must be a number of tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 2**31}}, "budget_tokens must be a number of tokens"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Untranslatable, match=said):
        translate(**fields)


def test_fields_of_puna() -> None:
    request = translate(regex="r", min_p=0.5, top_k=3, truncate=True, chat_template_kwargs={"a": 1})
    assert (request.regex, request.truncate, request.template_kwargs) == ("r", True, {"a": 1})
    assert request.options == {"num_predict": 9, "min_p": 0.5, "top_k": 3}
    assert not translate().truncate


def test_tools_keep_the_order_of_their_schema() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}, "$schema": "x"}
    (tool,) = translate(tools=[{"name": "f", "input_schema": schema}]).tools
    properties = tool["function"]["parameters"]["properties"]
    assert list(properties) == ["b", "a"]
    assert list(tool["function"]["parameters"]) == ["type", "properties"]


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(tools=[{"name": "x", "input_schema": {"type": 5}}])
    assert str(caught.value) == (
        'invalid input_schema for tool "x": json: cannot unmarshal number into Go struct field '
        "ToolFunctionParameters.type of type string"
    )


def test_a_search_takes_the_name_of_other_functions() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    tools = translate(tools=[{"name": "web_search"}, search, {"name": "f"}]).tools
    assert [tool["function"]["name"] for tool in tools] == ["web_search", "f"]
    assert tools[0] == SEARCH_TOOL


# ---- the estimate --------------------------------------------------------------------------------------------------

ESTIMATES: list[tuple[dict[str, Any], int]] = [
    ({}, 1),  # user, hi: 6 bytes
    ({"messages": [{"role": "user", "content": "x" * 36}]}, 10),
    ({"messages": [{"role": "user", "content": "é" * 18}]}, 10),
    ({"system": "x" * 34}, 10),
    ({"system": [text("x" * 34)]}, 10),
    ({"system": {"a": 1}}, 3),  # 7 bytes of JSON
    ({"tools": [{"name": "f" * 10, "description": "d" * 12, "input_schema": {"a": "bcd"}}]}, 9),
    # {"type":"tool_use","id":"t1","name":"f","input":{"b":1,"a":2}} is 62 bytes
    ({"messages": [{"role": "assistant", "content": [USE]}]}, (9 + 62) // 4),
    # {"type":"tool_result","tool_use_id":"t1","content":"<"} is 60 bytes, as < is written as an escape
    ({"messages": [{"role": "user", "content": [RESULT | {"content": "<"}]}]}, (4 + 60) // 4),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": PIXELS}]}]}, 1),
]


@pytest.mark.parametrize(("fields", "n_tokens"), ESTIMATES)
def test_estimates(fields: dict[str, Any], n_tokens: int) -> None:
    assert estimate_tokens(body(**fields)) == n_tokens
