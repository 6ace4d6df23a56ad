# ruff: noqa: E501, RUF001
# DeepSeek's tokens are written with a fullwidth bar; texts of replies are not cut to the length of lines.
"""What models of the common families write, read by the forms that their templates are known for."""

from __future__ import annotations

import time

import pytest

from models.parsers.errors import ParserError
from models.parsers.native import native_parser
from models.parsers.native_harmony import NativeHarmonyParser
from models.parsers.steps import Expectations
from models.parsers.syntax import CallSyntax, JsonCalls, NamedCalls, ReasoningTags, tags_of
from models.templates.families import known_calls, known_wrappers
from tests.models.parsers.splitting import Reply, assert_reply, parse, splits
from tests.models.parsers.toolbox import tool

TOOLS = Expectations(
    [
        tool("add", a="integer", b="number", t="string"),
        tool("get_weather", city="string"),
        tool("python", code="string"),
        tool("brave_search", query="string"),
    ]
)
WEATHER = ("get_weather", {"city": "Rome"})
ADD = ("add", {"a": 1, "b": 2.5})
ONE = Reply("", "", (WEATHER,))
TWO = Reply("", "", (WEATHER, ADD))

DEEPSEEK_R1 = "<｜tool▁calls▁begin｜> ```json"
DEEPSEEK_V31 = "<｜tool▁calls▁begin｜>"
MISTRAL = "[TOOL_CALLS] [ARGS]"
QWEN_CODER = "<tool_call> <function= <parameter="
GLM = "<tool_call> <arg_key> <arg_value>"
FUNCTIONARY = "<function= </function>"
LLAMA = "<|python_tag|>"
COMMAND = "<|START_ACTION|> <|START_RESPONSE|>"
COMMAND_R = "Action: ```json tool_name"
LFM2 = "<|tool_call_start|>"
PHI_4 = "<|tool|><|/tool|>"
GRANITE = "<|tool_call|>"
NEMOTRON = "<TOOLCALL>"

REPLIES: list[tuple[str, str, Reply | None]] = [
    (DEEPSEEK_R1,
     'Sure.\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}\n'
     '```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a": 1, "b": 2.5}\n```'
     '<｜tool▁call▁end｜><｜tool▁calls▁end｜>', Reply("Sure.\n\n", "", (WEATHER, ADD))),
    (DEEPSEEK_R1, '<｜tool_calls_begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}'
     '```<｜tool▁call▁end｜><｜tool▁calls▁end｜>', ONE),
    (DEEPSEEK_R1, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>code<｜tool▁sep｜>x', None),
    (DEEPSEEK_V31, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Rome"}<｜tool▁call▁end｜>'
     '<｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": 1, "b": 2.5}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', TWO),
    (DEEPSEEK_V31, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Rome"}<｜tool▁call▁end｜>',
     ONE),
    (DEEPSEEK_V31, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>who<｜tool▁sep｜>{}<｜tool▁call▁end｜>', None),
    (MISTRAL, '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}', ONE),
    (MISTRAL, '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2.5}', TWO),
    (MISTRAL, '[TOOL_CALLS]get_weather[CALL_ID]abc123def[ARGS]{"city": "Rome"}', ONE),
    (MISTRAL, '[TOOL_CALLS]get_weather[ARGS]["Rome"]', None),
    (MISTRAL, '[TOOL_CALLS]nobody[ARGS]{"city": "Rome"}', None),
    (MISTRAL, '[TOOL_CALLS]get_weather{"city": "Rome"}', None),
    ("[TOOL_CALLS]", '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "a"}]', ONE),
    (QWEN_CODER, '<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>\n'
     '<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2.5\n</parameter>\n</function>\n'
     '</tool_call>', TWO),
    (QWEN_CODER, '<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>', ONE),
    (QWEN_CODER, '<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>', ONE),
    (QWEN_CODER, '<tool_call>\n<function=add>\n<parameter=t>\n<b>1 & 2</b>\n</parameter>\n</function>\n</tool_call>',
     Reply("", "", (("add", {"t": "<b>1 & 2</b>"}),))),
    (QWEN_CODER, '<tool_call>\n<function=nobody>\n</function>\n</tool_call>', None),
    (QWEN_CODER, '<tool_call>\n<function=add>\n<parameter=a>\n1\n</function>\n</tool_call> so', None),
    (QWEN_CODER, "a <tool_call> is a tag", None),
    (GLM, '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>\n'
     '<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n<arg_value>2.5</arg_value>\n'
     '</tool_call>', TWO),
    (GLM, '<tool_call>nobody\n</tool_call>', None),
    (FUNCTIONARY, '<function=get_weather>{"city": "Rome"}</function><function=add>{"a": 1, "b": 2.5}</function>', TWO),
    (FUNCTIONARY + LLAMA, '<|python_tag|>print("hi {")\nx = [1]', Reply("", "", (("python", {"code":
     'print("hi {")\nx = [1]'}),))),
    (FUNCTIONARY, '<function=nobody>{"city": "Rome"}</function>', None),
    (FUNCTIONARY, 'use <function=x', None),
    (LLAMA, '{"name": "get_weather", "parameters": {"city": "Rome"}}', ONE),
    (LLAMA, '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Rome"}}', ONE),
    (LLAMA, '<|python_tag|>{"type": "function", "name": "nobody", "parameters": {}}', None),
    (LLAMA, '<|python_tag|>brave_search.call(query="who (is) it")',
     Reply("", "", (("brave_search", {"query": "who (is) it"}),))),
    (LLAMA, '<|python_tag|>get_weather.call(city="Rome")', ONE),
    (LLAMA, '{"answer": [{"x": {}}]} {', None),
    (COMMAND, '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Rome"}},\n'
     '    {"tool_call_id": "1", "tool_name": "add", "parameters": {"a": 1, "b": 2.5}}\n]<|END_ACTION|>', TWO),
    (COMMAND, "<|START_RESPONSE|>It is <|here|>.<|END_RESPONSE|>", Reply("It is <|here|>.")),
    (COMMAND_R, 'Action: ```json\n[{"tool_name": "get_weather", "parameters": {"city": "Rome"}}]```', ONE),
    (LFM2, '<|tool_call_start|>[get_weather(city="Rome"), add(a=1, b=2.5)]<|tool_call_end|>', TWO),
    (LFM2, '<|tool_call_start|>[nobody()]<|tool_call_end|>', None),
    (PHI_4, '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Rome"}}]<|/tool_call|>', ONE),
    (PHI_4, 'functools[{"name": "get_weather", "arguments": {"city": "Rome"}}]', ONE),
    (PHI_4, "functools is a module", None),
    (GRANITE, '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Rome"}}]', ONE),
    (GRANITE, '<tool_call>[{"arguments": {"city": "Rome"}, "name": "get_weather"}]', ONE),
    (NEMOTRON, '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Rome"}}]</TOOLCALL>', ONE),
    ("<tool_call>", '<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>', ONE),
]  # fmt: skip


@pytest.mark.parametrize(("marks", "text", "reply"), REPLIES, ids=[case[1][:50] for case in REPLIES])
def test_calls_of_each_family_are_read_and_what_is_none_is_content(marks: str, text: str, reply: Reply | None) -> None:
    calls, wrappers = known_calls(marks), known_wrappers(marks)
    assert calls is not None
    assert_reply(lambda: native_parser(None, calls, TOOLS, wrappers=wrappers), text, reply or Reply(text))


ADDRESSED = [
    ("all\nHello\n>>> x\nthere", Reply("Hello\n>>> x\nthere")),
    ('get_weather\n{"city": "Rome"}', ONE),
    ('all\nSure.\n>>>get_weather\n{"city": "Rome"}\n>>>add\n{"a": 1, "b": 2.5}',
     Reply("Sure.\n", "", (WEATHER, ADD))),
    ("python\nprint(1)\n>>>all\nDone.", Reply("Done.", "", (("python", {"code": "print(1)"}),))),
    ("python\nprint(1)", Reply("", "", (("python", {"code": "print(1)"}),))),
    ("all\nx\n>>>nobody\n{}", Reply("x\n>>>nobody\n{}")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reply"), ADDRESSED, ids=[case[0][:30] for case in ADDRESSED])
def test_functionary_addresses_tools_and_everyone(text: str, reply: Reply) -> None:
    calls = known_calls(">>>all")
    assert_reply(lambda: native_parser(None, calls, TOOLS, ">>>"), text, reply)


def test_functionarys_address_is_dropped_without_tools_too() -> None:
    assert_reply(lambda: native_parser(None, known_calls(">>>all"), Expectations(), ">>>"), "all\nHi", Reply("Hi"))


CALL_WEATHER = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}'
HARMONY = [
    ("<|channel|>final<|message|>Hi", Reply("Hi")),
    ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi", Reply("Hi", "hm")),
    (f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant{CALL_WEATHER}", Reply("", "hm", (WEATHER,))),
    (" to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Rome\"}", ONE),
    (f"{CALL_WEATHER}<|end|><|start|>assistant{CALL_WEATHER}", Reply("", "", (WEATHER, WEATHER))),
    ("<|channel|>commentary to=functions.get_weather<|message|>[1]", Reply("[1]")),
    ("<|channel|>commentary to=functions.get_weather<|message|>", Reply("", "", (("get_weather", {}),))),
    ("<|channel|>commentary to=functions.nobody<|message|>{}", Reply("{}")),
    ("<|channel|>commentary<|message|>Let me see.<|end|>", Reply("Let me see.")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reply"), HARMONY, ids=[case[0][:60] for case in HARMONY])
def test_harmony_is_read_with_its_calls_at_the_end(text: str, reply: Reply) -> None:
    assert_reply(lambda: NativeHarmonyParser(TOOLS, "<|start|>assistant"), text, reply)


CUT_OFF = [
    (DEEPSEEK_V31, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Ro'),
    (MISTRAL, '[TOOL_CALLS]get_weather[ARGS]{"city'),
    (QWEN_CODER, "<tool_call>\n<function=get_weather>\n<parameter=city>\nRo"),
    (FUNCTIONARY, '<function=get_weather>{"city": "Ro'),
    (LLAMA, '<|python_tag|>{"name": "get_weather", "parameters": {"ci'),
    ("<|start|><|channel|><|message|>", CALL_WEATHER[:-3]),
]  # fmt: skip


@pytest.mark.parametrize(("marks", "text"), CUT_OFF, ids=[case[1][:40] for case in CUT_OFF])
def test_a_reply_that_ends_inside_arguments_is_an_error_in_every_family(marks: str, text: str) -> None:
    for pieces in splits(text):
        with pytest.raises(ParserError, match='invalid tool call arguments for "get_weather"'):
            parse(native_parser(None, known_calls(marks), TOOLS), pieces)


def test_thoughts_come_before_calls_of_any_family() -> None:
    tags = ReasoningTags("<think>", "</think>")
    calls = known_calls(MISTRAL)
    text = 'ponder</think>\n\n[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}'
    assert_reply(lambda: native_parser(tags, calls, TOOLS, "<think>"), text, Reply("\n\n", "ponder", (WEATHER,)))


def test_tags_that_are_read_are_named_for_the_engine() -> None:
    assert tags_of(known_calls(MISTRAL)) == ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]")
    assert tags_of(known_calls(LLAMA)) == ("<|python_tag|>",)
    assert "<｜tool▁sep｜>" in tags_of(known_calls(DEEPSEEK_R1))
    assert tags_of(ReasoningTags("<think>\n", "\n</think>\n\n")) == ("<think>", "</think>")
    assert "<|channel|>" in tags_of(known_calls("<|start|><|channel|><|message|>"))


@pytest.mark.parametrize(
    ("calls", "head", "tail"),
    [
        (JsonCalls("<tool_call>\n", "</tool_call>", repeats=True),
         '<tool_call>\n{"name": "add", "arguments": {"t": "', '"}}\n</tool_call>'),
        (NamedCalls("[TOOL_CALLS]", "[ARGS]"), '[TOOL_CALLS]add[ARGS]{"t": "', '"}'),
        (known_calls(QWEN_CODER), "<tool_call>\n<function=add>\n<parameter=t>\n",
         "\n</parameter>\n</function>\n</tool_call>"),
    ],
)  # fmt: skip
def test_long_arguments_cost_no_more_for_each_token_than_short_ones(calls: CallSyntax, head: str, tail: str) -> None:
    n = 40_000
    parser = native_parser(None, calls, TOOLS)
    parser.feed(head)
    started = time.process_time()
    for _ in range(n):
        parser.feed("}] ")
    spent = time.process_time() - started
    parser.feed(tail)
    (delta,) = parser.finish()
    assert delta.tool_calls[0].arguments["t"] == "}] " * n
    assert spent / n < 20e-6
