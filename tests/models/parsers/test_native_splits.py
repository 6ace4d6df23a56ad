"""Texts put together of what the forms of calls are made of: read the same however they are cut."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from models.parsers import known_calls as known
from models.parsers.errors import ParserError
from models.parsers.native import native_parser
from models.parsers.steps import Expectations
from models.parsers.syntax import AddressedCalls, CallSyntax, JsonCalls, NamedCalls, ReasoningTags, tags_of
from tests.models.parsers.splitting import Reply, parse
from tests.models.parsers.toolbox import tool

TOOLS = Expectations([tool("add", a="integer", t="string"), tool("python", code="string")])
SYNTAXES: dict[str, CallSyntax] = {
    "hermes": JsonCalls("<tool_call>\n", "</tool_call>", repeats=True),
    "llama": known.LLAMA,
    "mistral-json": known.MISTRAL_JSON,
    "mistral": known.MISTRAL,
    "deepseek-r1": known.DEEPSEEK_R1,
    "deepseek-v3.1": known.DEEPSEEK_V31,
    "functionary": known.FUNCTIONARY,
    "functionary-v3": known.FUNCTIONARY_V3,
    "qwen-coder": known.QWEN_CODER,
    "glm": known.GLM,
    "lfm2": known.LFM2,
    "olmo-3": known.OLMO_3,
    "gemma-4": known.GEMMA_4,
    "functiongemma": known.FUNCTIONGEMMA,
    "command": known.COMMAND,
    "phi-4": known.PHI_4,
    "granite": known.GRANITE,
    "harmony": known.HARMONY,
}
PARTS = (
    *("<think>", "</think>", "{", "}", "[", "]", '"', "\\", ",", " ", "\n", "add", "python", '{"a": 1}', '"name"', "é"),
    *('{"name": "add", "arguments": {"a": 1}}', '{"name": "add", "parameters": {"a": 1}}', "(a=1)", ".call(", "```"),
    *("```json\n", "all\n", ">>>add\n", ">>>python\n", "<function=add>", "</function>", "<parameter=a>", "-", "<"),
    *("\n</parameter>", "<arg_key>a</arg_key>", "<arg_value>1", "analysis", "commentary to=functions.add "),
    *("call:add{a:1,t:", "<escape>x<escape>", '<|"|>x<|"|>', "add(a=1)"),
)


def texts(syntax: CallSyntax, n: int) -> Iterator[str]:
    chance = random.Random(4)
    parts = [*PARTS, *tags_of(syntax)]
    if isinstance(syntax, JsonCalls):
        parts += [syntax.start, syntax.end] * 3
    if isinstance(syntax, NamedCalls):
        parts += [syntax.opening, f'{syntax.begin}add{syntax.separator}{{"a": 2}}{syntax.end}', syntax.closing] * 2
    for _ in range(n):
        yield "".join(chance.choices(parts, k=chance.randint(1, 12)))


def read(syntax: CallSyntax, tags: ReasoningTags | None, pieces: Sequence[str]) -> Reply | str:
    primer = ">>>" if isinstance(syntax, AddressedCalls) else ""
    try:
        return parse(native_parser(tags, syntax, TOOLS, primer), pieces)
    except ParserError as error:
        return str(error)


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=list(SYNTAXES))
@pytest.mark.parametrize("tags", [None, ReasoningTags("<think>", "</think>")])
def test_any_text_is_read_the_same_however_it_is_cut(syntax: CallSyntax, tags: ReasoningTags | None) -> None:
    for text in texts(syntax, 150):
        whole = read(syntax, tags, [text])
        half = len(text) // 2
        assert read(syntax, tags, list(text)) == whole, text
        assert read(syntax, tags, [text[:half], text[half:]]) == whole, text
