# ruff: noqa: E501, RUF001
# DeepSeek's tokens are written with a fullwidth bar; texts of replies are not cut to the length of lines.
"""Grammars that demand calls: what they let through is what the parsers read as calls, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import InvalidConstraint
from models.parsers import known_calls as known
from models.parsers.call_grammar import call_grammar
from models.parsers.native import native_parser
from models.parsers.stepped import SteppedParser
from models.parsers.steps import Expectations
from models.parsers.syntax import CallForm, CallSyntax, JsonCalls, tags_of
from models.parsers.table import PARSERS, find_parser
from models.runner.lanes import run_through
from models.runner.settings import Constraint
from models.sampling import trial
from models.sampling.grammar import Grammars, Matcher
from models.templates.chat import Message, Tool
from tests.fakes.context import END, N_VOCAB, ByteVocabulary
from tests.models.parsers.splitting import Reply, parse
from tests.models.parsers.toolbox import tool

Calls = tuple[tuple[str, dict[str, Any]], ...]
TOOLS = [
    tool("get_weather", "city", city="string", unit={"type": "string", "enum": ["c", "f"]}),
    tool("add", "a", a="integer", b="any"),
]
HERMES = JsonCalls("<tool_call>\n", "</tool_call>", repeats=True)
WRAPPED = JsonCalls("<tools>", "</tools>", wrapper="function")
KEYED = JsonCalls("<|tools|>", "<|/tools|>", in_array=True, name_is_key=True)

ONE: Calls = (("get_weather", {"city": "Rome"}),)
BOTH: Calls = (("get_weather", {"city": "Rome"}), ("add", {"a": 1}))

CALLS: list[tuple[CallSyntax, str, Calls]] = [
    (HERMES, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n'
     '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', BOTH),
    (known.LLAMA, '{"name": "get_weather", "parameters": {"city": "Rome"}}', ONE),
    (known.MISTRAL_JSON, '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "abcdefgh1"}, '
     '{"name": "add", "arguments": {"a": 1}, "id": "abcdefgh2"}]', BOTH),
    (WRAPPED, '<tools>{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}</tools>', ONE),
    (KEYED, '<|tools|>[{"get_weather": {"city": "Rome"}}, {"add": {"a": 1}}]<|/tools|>', BOTH),
    (known.COMMAND, '<|START_ACTION|>[{"tool_name": "get_weather", "parameters": {"city": "Rome"}, "tool_call_id": "abcdefgh1"}]<|END_ACTION|>', ONE),
    (known.MISTRAL, '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}[TOOL_CALLS]add[ARGS]{"a": 1}', BOTH),
    (known.DEEPSEEK_R1, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}\n```<｜tool▁call▁end｜>\n'
     '<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>', BOTH),
    (known.DEEPSEEK_V31, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Rome"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', ONE),
    (known.FUNCTIONARY, '<function=get_weather>{"city": "Rome"}</function><function=add>{"a": 1}</function>', BOTH),
    (known.QWEN_CODER, '<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>\n'
     '<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>', BOTH),
    (known.GLM, '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>', ONE),
    (known.LFM2, '<|tool_call_start|>[get_weather(city="Rome"), add(a=1)]<|tool_call_end|>', BOTH),
    (known.OLMO_3, '<function_calls>get_weather(city="Rome")\nadd(a=1)</function_calls>', BOTH),
    (known.GEMMA_4, '<|tool_call>call:get_weather{city:<|"|>Rome<|"|>}<tool_call|><|tool_call>call:add{a:1}<tool_call|>', BOTH),
    (known.FUNCTIONGEMMA, '<start_function_call>call:get_weather{city:<escape>Rome<escape>}<end_function_call>'
     '<start_function_call>call:add{a:1}<end_function_call>', BOTH),
    (known.GLM, '<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value></tool_call>'
     '<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>', BOTH),
    (known.FUNCTIONARY_V3, 'get_weather\n{"city": "Rome"}>>>add\n{"a": 1}', BOTH),
    (known.HARMONY, '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}', ONE),
    (known.HARMONY, '<|channel|>analysis<|message|>hm<|end|><|start|>assistant'
     '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}', ONE),
]  # fmt: skip
SYNTAXES = [HERMES, *dict.fromkeys(case[0] for case in CALLS[1:])]


class TaggedVocabulary(ByteVocabulary):
    """Bytes, and the tags of a form as control tokens: above the bytes and the end."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        super().__init__()
        self.tags = tags
        self.n_tokens = N_VOCAB + len(tags)

    def raw_piece(self, token: int) -> bytes:
        return self.tags[token - N_VOCAB].encode() if token >= N_VOCAB else super().raw_piece(token)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> npt.NDArray[np.int32]:
        tokens: list[int] = []
        while text:
            tag = next((tag for tag in self.tags if parse_special and text.startswith(tag)), "")
            tokens += [N_VOCAB + self.tags.index(tag)] if tag else text[0].encode()
            text = text[len(tag) or 1 :]
        return np.array(tokens, dtype=np.int32)


@pytest.fixture(autouse=True)
def without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """These grammars are small, and a process for each of them takes long."""
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: True)


def passes(matcher: Matcher, tokens: npt.NDArray[np.int32]) -> bool:
    for token in tokens:
        if not matcher.allows(int(token)):
            return False
        matcher.accept(int(token))
    return matcher.allows(END)


def accepts(
    syntax: CallForm, text: str, *, many: bool = True, has_tokens: bool = False, tools: Sequence[Tool] = TOOLS
) -> bool:
    vocabulary = TaggedVocabulary(tags_of(syntax) if has_tokens else ())
    grammar = call_grammar(syntax, tools, many=many)
    matcher = run_through(Grammars(vocabulary).matcher(Constraint("calls", grammar.text, None, grammar.tags)))
    return passes(matcher, vocabulary.tokenize(text, add_special=False))


def spelled(syntax: CallSyntax, text: str) -> tuple[bool, ...]:
    """With tags that are tokens, and that are letters; every model that knows harmony has its tokens."""
    return (True,) if syntax == known.HARMONY and "analysis" in text else (True, False)


READ = [(*case, has_tokens) for case in CALLS for has_tokens in spelled(case[0], case[1])]


@pytest.mark.parametrize(("syntax", "text", "calls", "has_tokens"), READ, ids=[case[1][:50] for case in READ])
def test_what_a_grammar_demands_is_read_as_calls(syntax: CallSyntax, text: str, calls: Calls, has_tokens: bool) -> None:
    assert accepts(syntax, text, has_tokens=has_tokens)
    primer = ">>>" if syntax == known.FUNCTIONARY_V3 else ""
    assert parse(native_parser(None, syntax, Expectations(TOOLS), primer), [text]).calls == calls


@pytest.mark.parametrize("syntax", SYNTAXES, ids=str)
def test_a_grammar_lets_no_answer_through(syntax: CallSyntax) -> None:
    assert not accepts(syntax, "It is sunny.")
    assert not accepts(syntax, "")


@pytest.mark.parametrize(("syntax", "text", "calls"), CALLS, ids=[case[1][:50] for case in CALLS])
def test_a_named_tool_is_called_once(syntax: CallSyntax, text: str, calls: Calls) -> None:
    has_tokens = syntax == known.HARMONY
    assert accepts(syntax, text, many=False, has_tokens=has_tokens, tools=TOOLS[:1]) is (len(calls) == 1)
    assert not accepts(syntax, text, many=False, has_tokens=has_tokens, tools=TOOLS[1:])


ATEM = '<atem:function_calls>\n<atem:invoke name="{}">\n{}</atem:invoke>\n</atem:function_calls>'
ROME = " to=get_weather<|message|>" + ATEM.format("get_weather", '<atem:parameter name="city">Rome</atem:parameter>\n')
ADD = " to=add<|message|>" + ATEM.format("add", '<atem:parameter name="a">1</atem:parameter>\n')
THOUGHT, AGAIN = " to=self<|message|>hm <b>\n", "<|eom|><|start|>assistant"
NESTED: dict[str, Any] = {
    "list": {"type": "array", "items": {"type": "string"}},
    "map": {"type": "object", "properties": {"n": {"type": "number"}, "t": {"type": "string"}}, "required": ["t"]},
    "free": {},
    "kind": {"type": "string", "enum": ["x", "y"]},
    "flag": {"type": "boolean"},
}
VALUES = {"list": ["a", "b"], "map": {"t": "c, d:", "n": 1.5}, "free": [1, {"k": "v"}], "kind": "y", "flag": True}
BUILT_IN: list[tuple[str, str, Calls, str]] = [
    ("glimmer", ROME, ONE, ""),
    ("glimmer", THOUGHT + AGAIN + ROME + AGAIN + ADD, BOTH, "hm <b>\n"),
    ("gemma4", '<|tool_call>call:f{list:[<|"|>a<|"|>,<|"|>b<|"|>],map:{t:<|"|>c, d:<|"|>,n:1.5},free:[1,{k:<|"|>v<|"|>}],'
     'kind:<|"|>y<|"|>,flag:true}<tool_call|>', (("f", VALUES),), ""),
    ("functiongemma", "<start_function_call>call:f{list:[<escape>a<escape>,<escape>b<escape>],map:{t:<escape>c, d:<escape>,n:1.5},"
     "free:[1,{k:<escape>v<escape>}],kind:<escape>y<escape>,flag:true}<end_function_call>", (("f", VALUES),), ""),
    ("olmo3", '<function_calls>f(list=["a", "b"], map={"n": 1.5, "t": "c, d:"}, free=[1, {"k": "v"}], kind="y", flag=true)'
     "</function_calls>", (("f", VALUES),), ""),
    ("laguna", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>", ONE, ""),
    ("poolside-v1", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value></tool_call>", ONE, ""),
]  # fmt: skip


@pytest.mark.parametrize("has_tokens", [True, False])
@pytest.mark.parametrize(("name", "text", "calls", "thought"), BUILT_IN, ids=[f"{c[0]} {c[1][:30]}" for c in BUILT_IN])
def test_what_a_grammar_demands_a_built_in_parser_reads_as_calls(
    name: str, text: str, calls: Calls, thought: str, has_tokens: bool
) -> None:
    syntax = known.BUILT_IN[name]
    tools = [*TOOLS, tool("f", "list", "map", "free", "kind", **NESTED)]
    assert accepts(syntax, text, has_tokens=has_tokens, tools=tools)
    assert accepts(syntax, text, has_tokens=has_tokens, tools=tools, many=False) is (len(calls) == 1)
    assert not accepts(syntax, "It is sunny.", has_tokens=has_tokens, tools=tools)
    kind = find_parser(name)
    assert kind is not None
    read = parse(SteppedParser(kind.make, Expectations(tools, Message("user", "x"))), [text])
    assert read == Reply("", thought, calls)


@pytest.mark.parametrize("name", sorted(name for name, kind in PARSERS.items() if kind.has_tools))
def test_a_call_can_be_demanded_of_every_model_that_a_built_in_parser_reads(name: str) -> None:
    grammar = call_grammar(known.BUILT_IN[name], TOOLS, many=True)
    run_through(Grammars(TaggedVocabulary(())).matcher(Constraint("calls", grammar.text, None, grammar.tags)))


def test_arguments_of_which_none_is_required_may_all_be_left_out_or_given() -> None:
    tools = [tool("f", a="integer", b="integer", c="integer")]
    for arguments in ("", "a=1", "b=2", "a=1, c=3", "a=1, b=2, c=3"):
        assert accepts(known.LFM2, f"<|tool_call_start|>[f({arguments})]<|tool_call_end|>", tools=tools)
    assert not accepts(known.LFM2, "<|tool_call_start|>[f(a=1 b=2)]<|tool_call_end|>", tools=tools)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"city": "Rome", "unit": "c"}', True),
        ('{"city": "Rome", "unit": "k"}', False),
        ('{"unit": "c"}', False),
        ('{"city": 1}', False),
        ('{"city": "Rome", "zip": 1}', False),
    ],
)
def test_arguments_follow_the_schema_of_the_tool(arguments: str, expected: bool) -> None:
    assert (
        accepts(HERMES, f'<tool_call>\n{{"name": "get_weather", "arguments": {arguments}}}\n</tool_call>') is expected
    )


def test_a_text_among_tags_may_hold_anything_but_its_end() -> None:
    text = (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\n<b>\n{R & é}\n</parameter>\n</function>\n</tool_call>"
    )
    assert accepts(known.QWEN_CODER, text)
    read = parse(native_parser(None, known.QWEN_CODER, Expectations(TOOLS)), [text])
    assert read == Reply("", "", (("get_weather", {"city": "<b>\n{R & é}"}),))


@pytest.mark.parametrize(("unit", "expected"), [("c", True), ('"c"', False), ("k", False)])
def test_a_choice_of_texts_stands_among_tags_without_quotes(unit: str, expected: bool) -> None:
    value = f"<parameter=city>\nRome\n</parameter>\n<parameter=unit>\n{unit}\n</parameter>\n"
    assert (
        accepts(known.QWEN_CODER, f"<tool_call>\n<function=get_weather>\n{value}</function>\n</tool_call>") is expected
    )


def test_a_tool_without_parameters_and_one_with_references_can_be_demanded() -> None:
    schema = {"properties": {"p": {"$ref": "#/$defs/P"}}, "required": ["p"], "$defs": {"P": {"type": "string"}}}
    tools = [tool("now"), {"type": "function", "function": {"name": "ref", "parameters": schema}}]
    assert accepts(HERMES, '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>', tools=tools)
    assert accepts(HERMES, '<tool_call>\n{"name": "ref", "arguments": {"p": "x"}}\n</tool_call>', tools=tools)
    assert not accepts(HERMES, '<tool_call>\n{"name": "ref", "arguments": {"p": 1}}\n</tool_call>', tools=tools)


@pytest.mark.parametrize(
    ("schema", "said"),
    [({"$ref": "#/nope"}, "Pointer '/nope' does not exist"), ({"type": "string", "pattern": "("}, "unclosed group")],
)
def test_parameters_that_cannot_be_enforced_are_refused_without_lines_that_nobody_wrote(
    schema: dict[str, Any], said: str
) -> None:
    grammar = call_grammar(HERMES, [tool("f", "a", a={"type": "array", "items": schema})], many=True)
    with pytest.raises(InvalidConstraint) as raised:
        run_through(Grammars(ByteVocabulary()).matcher(Constraint("calls", grammar.text, None, grammar.tags)))
    assert str(raised.value) == f"a tool's parameters cannot be enforced: {said}"
