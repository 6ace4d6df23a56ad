"""What messages of a chat completion are translated to, and the texts for what they cannot be."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.routes.openai.messages import to_messages
from server.routes.openai.schema import CHAT
from server.routes.v1 import Untranslatable


def translate(*messages: Any) -> tuple[Message, ...]:
    body = decode(CHAT, parse(orjson.dumps({"messages": messages})))
    return to_messages(body.messages)


def call(name: str, arguments: str = "{}", id_text: str = "c1") -> dict[str, Any]:
    return {"id": id_text, "type": "function", "function": {"name": name, "arguments": arguments}}


IMAGE = base64.b64encode(b"pixels").decode()

TRANSLATIONS: list[tuple[list[dict[str, Any]], list[Message]]] = [
    ([{"role": "User", "content": "hi"}], [Message("user", "hi")]),
    ([{"role": "developer", "content": "x"}], [Message("developer", "x")]),
    ([{"role": "assistant", "content": "a", "reasoning": "why"}], [Message("assistant", "a", "why")]),
    (
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        [Message("user", "a"), Message("user", "b")],
    ),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}]}],
        [Message("user", images=(b"pixels",))],
    ),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": f"data:;base64,{IMAGE}"}]}],
        [Message("user", images=(b"pixels",))],
    ),
    (
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": IMAGE, "format": "wav"}}]}],
        [Message("user", images=(b"pixels",))],
    ),
    (
        [{"role": "assistant", "content": None, "tool_calls": [call("f", '{"b":1,"a":2}')]}],
        [Message("assistant", tool_calls=(ToolCall("f", {"b": 1, "a": 2}, 0, "c1"),))],
    ),
    ([{"role": "assistant", "tool_calls": []}], [Message("assistant")]),
    (
        [
            {"role": "assistant", "tool_calls": [call("old"), call("new")]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
            {"role": "tool", "tool_call_id": "c1", "name": "said", "content": "r"},
        ],
        [
            Message("assistant", tool_calls=(ToolCall("old", {}, 0, "c1"), ToolCall("new", {}, 0, "c1"))),
            Message("tool", "r", tool_name="old", tool_call_id="c1"),
            Message("tool", "r", tool_name="said", tool_call_id="c1"),
        ],
    ),
    (
        [{"role": "tool", "tool_call_id": "c1", "name": "f", "content": [{"type": "text", "text": "r"}]}],
        [Message("tool", "r")],
    ),
    (
        [
            {
                "role": "assistant",
                "reasoning": "w",
                "content": [{"type": "text", "text": "t"}],
                "tool_calls": [call("f")],
            }
        ],
        [Message("assistant", "t", "w", tool_calls=(ToolCall("f", {}, 0, "c1"),))],
    ),
    ([{"role": "user", "content": []}], []),
]


@pytest.mark.parametrize(("bodies", "messages"), TRANSLATIONS)
def test_messages(bodies: list[dict[str, Any]], messages: list[Message]) -> None:
    assert list(translate(*bodies)) == messages


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"content": 5}, "invalid message content type: float64"),
    ({"content": True}, "invalid message content type: bool"),
    ({"content": {}}, "invalid message content type: map[string]interface {}"),
    ({}, "invalid message content type: <nil>"),
    ({"content": ["a"]}, "invalid message format"),
    ({"content": [{"type": "text"}]}, "invalid message format"),
    ({"content": [{"type": "image_url", "image_url": {}}]}, "invalid message format"),
    ({"content": [{"type": "image_url"}]}, "invalid message format"),
    ({"content": [{"type": "image_url", "image_url": "data:image/gif;base64,AA=="}]}, "invalid image input"),
    ({"content": [{"type": "image_url", "image_url": "data:image/png;base64,A"}]}, "invalid image input"),
    (
        {"content": [{"type": "image_url", "image_url": "http://x/y.png"}]},
        "image URLs are not currently supported, please use base64 encoded data instead",
    ),
    ({"content": [{"type": "input_audio"}]}, "invalid input_audio format"),
    ({"content": [{"type": "input_audio", "input_audio": {"data": 1}}]}, "invalid input_audio format: missing data"),
    (
        {"content": [{"type": "input_audio", "input_audio": {"data": "A"}}]},
        "invalid input_audio base64 data: illegal base64 data at input byte 0",
    ),
    *(
        ({"content": "", "tool_calls": [call("f", arguments)]}, "invalid tool call arguments")
        for arguments in ("", "{", "[]", "5", "{} {}")
    ),
]


@pytest.mark.parametrize(("body", "text"), REFUSALS)
def test_what_cannot_be_translated(body: dict[str, Any], text: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate({"role": "user"} | body)
    assert str(caught.value) == text
