"""Replies with calls that a built-in parser refuses: content, as they were written, and the rest is read on."""

from __future__ import annotations

import logging

import pytest

from models.parsers.stepped import SteppedParser
from models.parsers.steps import Expectations
from models.parsers.table import find_parser
from models.templates.chat import Message, Think
from tests.models.parsers.splitting import Reply, parse
from tests.models.parsers.toolbox import tool

TOOLS = [tool("f", a="integer")]
CALLED = ("f", {"a": 1})
GOOD_XML = "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>"
GOOD_JSON = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
BAD_ATEM = " to=f<|message|><atem:function_calls>no</atem:function_calls><|eot|>"
EMPTY, LISTED = "<tool_call>{}</tool_call>", "<tool_call>[]</tool_call>"
BAD_XML = "<tool_call>no</tool_call>"
GLM_CUT_OFF = "<tool_call>f<arg_key>a"
HARMONY_BAD = "<|channel|>commentary to=functions.f<|message|>{no"

REPLIES = [
    ("qwen3-coder", ["Hm", " ", "<tool_call>", "no", "</tool_call>", "\nso"], Reply(f"Hm {BAD_XML}\nso")),
    ("qwen3-coder", [BAD_XML, GOOD_XML, "b"], Reply(BAD_XML + "b", "", (CALLED,))),
    ("qwen3.5", ["hm", "</think>", "<tool_call>no", "</tool_call>", GOOD_XML], Reply(BAD_XML, "hm", (CALLED,))),
    ("qwen3", [GOOD_JSON, "<tool_call>", "{}", "</tool_call>", GOOD_JSON], Reply(EMPTY, "", (CALLED, CALLED))),
    ("qwen3-vl-thinking", ["hm</think>ok", LISTED, "x"], Reply(f"ok{LISTED}x", "hm")),
    ("glm-4.7", ["hm</think>", GLM_CUT_OFF], Reply(GLM_CUT_OFF, "hm")),
    ("laguna", ['{"name": 1}', "\n", "and"], Reply('{"name": 1}and')),
    ("qwen3.5", ["hm</think>\n<tool_call>no</tool_call>b"], Reply(BAD_XML + "b", "hm")),
    ("ministral", ["[TOOL_CALLS]", "g", "[ARGS]", "{}"], Reply("[TOOL_CALLS]g[ARGS]{}")),
    ("glimmer", [BAD_ATEM, "<|start|>assistant to=user<|message|>ok<|eot|>"], Reply(f"{BAD_ATEM}ok")),
    ("harmony", [HARMONY_BAD], Reply(HARMONY_BAD)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pieces", "expected"), REPLIES, ids=[f"{r[0]} {r[1][0][:20]}" for r in REPLIES])
def test_a_malformed_call_is_content_and_the_reply_goes_on(
    name: str, pieces: list[str], expected: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    kind = find_parser(name)
    assert kind is not None
    think = Think(True) if kind.has_thinking and name not in ("laguna", "harmony", "glimmer") else None
    with caplog.at_level(logging.WARNING, "models.parsers.stepped"):
        reply = parse(SteppedParser(kind.make, Expectations(TOOLS, Message("user", "x"), think)), pieces)
    assert reply == expected
    assert [record.message for record in caplog.records] == ["a malformed tool call is kept as content"]
