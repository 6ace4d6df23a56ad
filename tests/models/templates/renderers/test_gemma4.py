from __future__ import annotations

from typing import Any

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.gemma4 import choose_gemma4, render_gemma4_large, render_gemma4_small
from models.templates.renderers.gemma4_tools import declaration
from models.templates.schema import parse_tool

Q = '<|"|>'
USER, ASKED = Message("user", " U "), "<|turn>user\nU<turn|>\n"
THINK = Think(True)


def calling(*ids: str, content: str = "", thinking: str = "") -> Message:
    calls = tuple(ToolCall(f"f{i}", {}, i, identity) for i, identity in enumerate(ids))
    return Message("assistant", content, thinking, tool_calls=calls)


CALL, RESULT = "<|tool_call>call:f0{}<tool_call|>", Message("tool", "1", tool_name="f0")
RESPONSE = f"<|tool_response>response:f0{{value:{Q}1{Q}}}<tool_response|>"

PROMPTS: list[tuple[list[Message], str]] = [
    ([], "<|turn>model\n"),
    ([USER], ASKED + "<|turn>model\n"),
    ([Message("developer", " S "), USER], f"<|turn>system\nS<turn|>\n{ASKED}<|turn>model\n"),
    ([USER, Message("developer", " S ")], f"{ASKED}<|turn>developer\nS<turn|>\n<|turn>model\n"),
    ([USER, Message("assistant", " A ")], f"{ASKED}<|turn>model\nA<turn|>\n<|turn>model\n"),
    ([Message("assistant", "a<|channel>b<channel|>c<|channel>d")], "<|turn>model\nac<turn|>\n<|turn>model\n"),
    ([calling("")], f"<|turn>model\n{CALL}<|tool_response>"),
    ([calling(""), USER], f"<|turn>model\n{CALL}<|tool_response>{ASKED}<|turn>model\n"),
    ([calling(""), RESULT], f"<|turn>model\n{CALL}{RESPONSE}"),
    ([calling("", content="A"), RESULT], f"<|turn>model\n{CALL}{RESPONSE}A<turn|>\n"),
    ([calling(""), RESULT, USER], f"<|turn>model\n{CALL}{RESPONSE}<turn|>\n{ASKED}<|turn>model\n"),
    (
        [calling(""), RESULT, Message("assistant", "A")],
        f"<|turn>model\n{CALL}{RESPONSE}A<turn|>\n<|turn>model\n",
    ),
    ([Message("assistant", "A"), Message("assistant", "B")], "<|turn>model\nAB<turn|>\n<|turn>model\n"),
    ([USER, RESULT], f"{ASKED}<|turn>model\n"),
]


@pytest.mark.parametrize(("messages", "prompt"), PROMPTS)
def test_a_models_turn_holds_its_calls_and_the_responses(messages: list[Message], prompt: str) -> None:
    assert render_gemma4_small(Conversation(messages)) == f"<bos>{prompt}"


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (Message("tool", "1"), "unknown"),
        (Message("tool", "1", tool_name="n"), "n"),
        (Message("tool", "1", tool_name="n", tool_call_id="b"), "f1"),
        (Message("tool", "1", tool_name="n", tool_call_id="c"), "n"),
    ],
)
def test_a_response_has_the_name_of_its_call(result: Message, name: str) -> None:
    assert f"response:{name}{{" in render_gemma4_small(Conversation([calling("a", "b"), result]))


def test_thoughts_of_the_current_turn_are_shown() -> None:
    thought = "<|channel>thought\nT\n<channel|>"
    messages = [USER, calling("", thinking="T"), RESULT]
    turn = f"{ASKED}<|turn>model\n"
    assert render_gemma4_small(Conversation(messages)) == f"<bos>{turn}{thought}{CALL}{RESPONSE}"
    assert render_gemma4_small(Conversation([*messages, USER])).count(thought) == 0
    assert render_gemma4_small(Conversation(messages, think=THINK)) == (
        f"<bos><|turn>system\n<|think|>\n<turn|>\n{turn}{thought}{CALL}{RESPONSE}<|channel>thought\n"
    )


def test_large_models_are_shown_that_they_do_not_think() -> None:
    empty = "<|turn>model\n<|channel>thought\n<channel|>"
    assert render_gemma4_large(Conversation([USER])).endswith(empty)
    assert not render_gemma4_large(Conversation([USER], think=THINK)).endswith(empty)


def test_images_of_results_are_counted_where_they_are_printed() -> None:
    messages = [Message("user", "a", images=(b"",)), calling(""), Message("tool", "b", images=(b"",))]
    prompt = render_gemma4_small(Conversation([*messages, Message("user", "c", images=(b"",))]))
    assert [prompt.index(text) for text in ("[img-0] a", "[img-1] b", "[img-2] c")]


ARGUMENTS: list[tuple[Any, str]] = [
    ("s", f"{Q}s{Q}"),
    (None, "null"),
    (True, "true"),
    (2.0, "2"),
    (1000000, "1000000"),
    (1e20, "1e+20"),
    (0.5, "0.5"),
    ({"b": 1, "a": ["x", {}]}, f"{{a:[{Q}x{Q},{{}}],b:1}}"),
]


@pytest.mark.parametrize(("value", "text"), ARGUMENTS)
def test_arguments_have_bare_sorted_keys(value: Any, text: str) -> None:
    message = Message("assistant", tool_calls=(ToolCall("f", {"z": value, "a": 1}),))
    assert f"call:f{{a:1,z:{text}}}<tool_call|>" in render_gemma4_small(Conversation([message]))


PROPERTIES: list[tuple[dict[str, Any], str]] = [
    ({}, "type:''"),
    ({"type": "string", "description": "D"}, "description:'D',type:'STRING'"),
    ({"type": "string", "enum": ["a", 1]}, "enum:['a','1'],type:'STRING'"),
    ({"type": "integer", "enum": [1]}, "type:'INTEGER'"),
    ({"type": ["string", "null"], "enum": ["a"]}, "type:'['STRING', 'NULL']'"),
    ({"anyOf": [{"type": "string"}, {"type": ["null", "string"]}]}, "type:'['STRING', 'NULL']'"),
    ({"anyOf": [{"type": "string"}]}, "type:'STRING'"),
    ({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}, "type:''"),
    ({"type": "array", "items": {}}, "type:'ARRAY'"),
    (
        {"type": "array", "items": {"type": ["string", "null"], "minimum": 1, "not": None, "k": {"b": "x"}}},
        "items:{k:{'b':'x'},minimum:1,type:['STRING','NULL']},type:'ARRAY'",
    ),
    (
        {"type": "array", "items": {"required": ["a"], "properties": {"a": {"type": "string", "nullable": True}}}},
        "items:{properties:{a:{nullable:true,type:'STRING'}},required:['a']},type:'ARRAY'",
    ),
    ({"type": "object"}, "properties:{},type:'OBJECT'"),
    (
        {"type": "object", "required": ["b"], "properties": {"b": {"type": "number"}, "type": {"type": "string"}}},
        "properties:{b:{type:'NUMBER'}},required:['b'],type:'OBJECT'",
    ),
]


@pytest.mark.parametrize(("schema", "text"), PROPERTIES)
def test_a_property_is_declared(schema: dict[str, Any], text: str) -> None:
    tool = parse_tool({"function": {"name": "f", "parameters": {"properties": {"p": schema}}}})
    shown = declaration(tool["function"]).replace(Q, "'")
    assert shown == f"<|tool>declaration:f{{description:'',parameters:{{properties:{{p:{{{text}}}}}}}}}<tool|>"


def test_a_function_needs_no_parameters() -> None:
    assert declaration(parse_tool({"function": {"name": "f"}})["function"]) == (
        f"<|tool>declaration:f{{description:{Q}{Q}}}<tool|>"
    )


@pytest.mark.parametrize(
    ("names", "size", "chosen"),
    [
        (("gemma4:E2B", "12b"), "31B", "gemma4-small"),
        (("mine", "registry/library/gemma-31b"), "", "gemma4-large"),
        (("mine", "mine"), "12B", "gemma4-large"),
        (("mine", "mine"), "11.9B", "gemma4-small"),
        (("mine", "mine"), "13000M", "gemma4-large"),
        (("mine", "mine"), "B", "gemma4-small"),
        (("mine", "mine"), "", "gemma4-small"),
    ],
)
def test_the_renderer_is_chosen_by_name_then_size(names: tuple[str, str], size: str, chosen: str) -> None:
    assert choose_gemma4(names, size) == chosen
