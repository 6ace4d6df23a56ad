from __future__ import annotations

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.functiongemma import render_functiongemma
from models.templates.schema import parse_tool

USER, ASKED = Message("user", " U "), "<start_of_turn>user\nU<end_of_turn>\n"
MODEL = "<start_of_turn>model\n"
CALLING = Message(
    "assistant", " A ", tool_calls=(ToolCall("f", {"b": None, "a": [1, "x"]}), ToolCall("g", {"c": {"k": True}}))
)
CALLS = (
    "<start_function_call>call:f{a:[1,<escape>x<escape>],b:<nil>}<end_function_call>"
    "<start_function_call>call:g{c:{k:true}}<end_function_call>"
)
FOLLOW = "You can do function calling with the following functions:"


def response(name: str, text: str) -> str:
    return f"<start_function_response>response:{name}{{<escape>{text}<escape>}}<end_function_response>"


PROMPTS: list[tuple[list[Message], str]] = [
    ([USER], f"{ASKED}{MODEL}"),
    ([Message("system", " S "), USER], f"<start_of_turn>developer\nS<end_of_turn>\n{ASKED}{MODEL}"),
    ([USER, Message("system", " S ")], f"{ASKED}<start_of_turn>system\nS<end_of_turn>\n{MODEL}"),
    ([Message("assistant", " A ")], f"{MODEL}A<end_of_turn>\n{MODEL}"),
    ([CALLING], f"{MODEL}A{CALLS}<end_of_turn>\n{MODEL}"),
    (
        [CALLING, *(Message("tool", text) for text in "123")],
        f"{MODEL}A{CALLS}{response('f', '1')}{response('g', '2')}{response('', '3')}",
    ),
    (
        [CALLING, Message("tool", "1"), Message("assistant", "B")],
        f"{MODEL}A{CALLS}{response('f', '1')}B<end_of_turn>\n{MODEL}",
    ),
    ([CALLING, Message("tool", "1"), USER], f"{MODEL}A{CALLS}{response('f', '1')}U<end_of_turn>\n{MODEL}"),
    ([Message("tool", "1")], response("", "1")),
    (  # a role of another kind stands between the response and what belongs to its turn
        [Message("tool", "1"), Message("system", "S"), USER],
        f"{response('', '1')}<start_of_turn>system\nS<end_of_turn>\nU<end_of_turn>\n{MODEL}",
    ),
]


@pytest.mark.parametrize(("messages", "prompt"), PROMPTS)
def test_responses_belong_to_the_turn_of_the_model(messages: list[Message], prompt: str) -> None:
    assert render_functiongemma(Conversation(messages)) == f"<bos>{prompt}"


@pytest.mark.parametrize(("system", "text"), [("", FOLLOW), (" S ", f"S\n{FOLLOW}"), (f"{FOLLOW}\n", FOLLOW)])
def test_tools_are_declared_to_the_model(system: str, text: str) -> None:
    parameters = {
        "type": "object",
        "required": ["b"],
        "properties": {"b": {"type": ["integer", "null"]}, "a": {"description": "D"}},
    }
    tool = parse_tool({"function": {"name": "f", "parameters": parameters}})
    prompt = render_functiongemma(Conversation([Message("system", system), USER], [tool]))
    assert prompt.replace("<escape>", "'") == (
        f"<bos><start_of_turn>developer\n{text}<start_function_declaration>declaration:f{{description:'',"
        "parameters:{properties:{a:{description:'D'},b:{description:'',type:'INTEGER'}},required:['b'],type:'OBJECT'}}"
        f"<end_function_declaration><end_of_turn>\n{ASKED}{MODEL}"
    )
