from __future__ import annotations

from typing import Any

import pytest

from models.parsers.errors import ParserError
from models.parsers.events import ToolCall
from models.parsers.glimmer import GlimmerParser
from models.parsers.steps import Expectations
from models.templates.chat import Message, Think
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.glimmer import render_glimmer
from tests.models.parsers.reading import Read, read

TYPES = {"n": {"type": "integer"}, "s": {"type": "string"}, "o": {"type": "object"}}
TOOLS = Expectations(
    [{"type": "function", "function": {"name": name, "parameters": {"properties": TYPES}}} for name in ("f", "ns.g")]
)


def block(name: str, parameters: str = "") -> str:
    return f'<atem:function_calls>\n<atem:invoke name="{name}">\n{parameters}</atem:invoke>\n</atem:function_calls>'


def parameter(name: str, value: str) -> str:
    return f'<atem:parameter name="{name}">{value}</atem:parameter>\n'


NEXT = "<|start|>assistant"
F: tuple[str, dict[str, Any]] = ("f", {})
G: tuple[str, dict[str, Any]] = ("ns.g", {})

REPLIES = [
    (" to=self<|message|> a <|eom|><|start|>assistant to=user<|message|> b <|eot|>", Read(" b ", " a ")),
    ("<|message|>a", Read("a")),
    (" to=nobody<|message|>a<|eo", Read("a<|eo")),
    (f"<|message|>a<|start|>b{NEXT} to=nobody<|message|>", Read(f"a<|start|>b{NEXT} to=nobody<|message|>")),
    (f"<|message|>a{NEXT}<|message|>b{NEXT} to=user<|message|>c", Read("abc")),
    (f"<|message|>a{NEXT} to=us", Read(f"a{NEXT} to=us")),
    ("no header", Read("no header")),
    (f" to=f<|message|>{block('f')}<|eom|>{NEXT} to=ns.g<|message|>\n{block('ns.g')} <|eot|>", Read("", "", (F, G))),
    (f" to=ns.ns.g<|message|>{block('ns.g')}{NEXT} to=f<|message|>{block('f.f')}", Read("", "", (G, F))),
    (
        f" to=f<|message|>{block('f', parameter('n', '1') + parameter('s', ' <|eot|> ') + parameter('o', '{}'))}"
        "<|eot|>",
        Read("", "", (("f", {"n": 1, "s": " <|eot|> ", "o": {}}),)),
    ),
    (f" to=f<|message|>{block('<|message|>f<|message|>')}", Read("", "", (F,))),
    (
        f" to=f<|message|>{block('f').replace(chr(34) + '>', '<|message|>' * 2 + parameter('n', '2'))}",
        Read("", "", (("f", {"n": 2}),)),
    ),
    (f"<|message|>{block('f')}<|eot|>", Read("", "", (F,))),
    (f"<|message|>{block('h')}<|eot|>", Read(block("h"))),
    (f"<|message|>{block('f')} b<|eot|>", Read(f"{block('f')} b")),
    (f"<|message|>b {block('f')}<|eot|>", Read(f"b {block('f')}")),
    ("<|message|><atem:function_calls> <|eot|>", Read("<atem:function_calls> <|eot|>")),
    ("<|message|><atem:fun<|eot|>", Read("<atem:fun")),
]


@pytest.mark.parametrize(("text", "expected"), REPLIES)
def test_a_reply_is_read_however_it_is_cut(text: str, expected: Read) -> None:
    for runs in ([text], [*text, ""], *([text[:i], text[i:]] for i in range(1, len(text)))):
        assert read(GlimmerParser(TOOLS), runs) == expected, runs


MALFORMED = [
    ("so", "parse Glimmer call to f: missing ATEM function_calls wrapper"),
    ("<atem:function_calls>so</atem:function_calls>", "parse Glimmer call to f: missing ATEM invoke wrapper"),
    (block("f").replace('">', ""), "parse Glimmer call to f: malformed ATEM invoke name"),
    (block("f", "so"), "parse Glimmer call to f: malformed ATEM parameter"),
    (block("f", '<atem:parameter name="n'), "parse Glimmer call to f: malformed ATEM parameter name"),
    (block("f", '<atem:parameter name="n">1'), 'parse Glimmer call to f: unterminated ATEM parameter "n"'),
    (block(""), "empty Glimmer function name"),
    (block("h"), 'undeclared Glimmer function "h"'),
    (block("ns.g"), 'Glimmer recipient "f" does not match ATEM invoke "ns.g"'),
]


@pytest.mark.parametrize(("text", "problem"), MALFORMED)
def test_a_malformed_call_ends_the_reply(text: str, problem: str) -> None:
    with pytest.raises(ParserError) as caught:
        GlimmerParser(TOOLS).add(f" to=f<|message|>{text}", True)
    assert str(caught.value) == problem


def test_thoughts_that_nobody_asked_for_are_dropped() -> None:
    text = f" to=self<|message|>a<|eom|>{NEXT} to=user<|message|>b"
    assert read(GlimmerParser(Expectations(think=Think(False))), text) == Read("b")


def test_without_tools_nothing_is_a_call() -> None:
    assert read(GlimmerParser(Expectations()), [f" to=f<|message|>{block('f')}<|eot|>"]) == Read(block("f"))


def test_content_is_told_as_soon_as_it_is_certain() -> None:
    parser = GlimmerParser(TOOLS)
    runs = ("<|message|>a <", "b", "|start|>", NEXT, " to=u", "ser")
    told = [parser.add(text, False).content for text in runs]
    assert told == ["a ", "<b", "|start|>", "", "", ""]


def test_a_call_survives_being_written_into_a_prompt() -> None:
    call = ToolCall("f", {"n": 3, "s": "a\n<b> \n", "o": {"k": [1]}})
    prompt = render_glimmer(Conversation([Message("user", "q"), Message("assistant", tool_calls=(call,))]))
    reply = prompt.split("<|start|>assistant")[1]
    assert read(GlimmerParser(TOOLS), [reply]).calls == (("f", call.arguments),)
