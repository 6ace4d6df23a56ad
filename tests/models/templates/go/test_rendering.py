# ruff: noqa: E501
# A row of a table is one line.

from __future__ import annotations

import pytest

from models.templates.chat import Message, Think
from models.templates.errors import TemplateError
from models.templates.go.rendering import GoTemplate, go_template
from models.templates.schema import parse_message, parse_tool

LEGACY = (
    "{{ if .System }}<s>{{ .System }}</s>{{ end }}{{ if .Prompt }}<u>{{ .Prompt }}</u>{{ end }}<a>{{ .Response }}</a>\n"
)
SYSTEM, HI, YO, BYE = (
    Message("system", "Sys"),
    Message("user", "Hi"),
    Message("assistant", "Yo"),
    Message("user", "Bye"),
)

TURNS = [
    (LEGACY, [SYSTEM, HI, YO, BYE], "<s>Sys</s><u>Hi</u><a>Yo</a>\n<u>Bye</u><a>"),
    (LEGACY, [HI, YO], "<u>Hi</u><a>Yo"),
    (LEGACY, [], "<a>"),
    (LEGACY, [HI, HI, SYSTEM, BYE], "<u>Hi\n\nHi</u><a></a>\n<s>Sys</s><u>Bye</u><a>"),
    (LEGACY, [Message("tool", "r"), HI], "<u>Hi</u><a>"),
    ("[INST] {{ .System }} {{ .Prompt }} [/INST]", [SYSTEM, HI, YO, BYE], "[INST] Sys Hi [/INST]Yo[INST]  Bye [/INST]"),
    ("{{ .Prompt }}{{ if .Response }} A:{{ .Response }} tail{{ end }} after", [HI, YO, BYE], "Hi A:Yo tail afterBye"),
    ("{{ .Prompt }}{{ if .Prompt }}{{ .Response }}x{{ else }}e{{ end }}y", [HI], "Hi"),
    ('{{ .Prompt }}{{ printf "%s%s" .Response "z" }}!', [HI], "Hi%!s(MISSING)"),
    ('{{ .Prompt }}{{ .Response | printf "%s" }}!', [HI], "Hi"),
    ("{{ .Prompt }}{{ $.Response }}!{{ .Response }}?", [HI], "Hi!"),
    ("{{ .Prompt }}{{ if .Tools }}T{{ end }}{{ .Response }}", [HI], "Hi"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "messages", "prompt"), TURNS)
def test_a_template_without_messages_is_filled_turn_by_turn(text: str, messages: list[Message], prompt: str) -> None:
    assert GoTemplate(text).render(messages) == prompt


def test_a_template_defined_elsewhere_is_lost_in_the_last_turn() -> None:
    text = '{{ define "x" }}{{ . }}{{ end }}{{ template "x" .Prompt }}{{ .Response }}'
    with pytest.raises(TemplateError, match='template "x" not defined'):
        GoTemplate(text).render([HI])


TOOL = parse_tool({"type": "function", "function": {"name": "f", "description": "<d>", "parameters": {
    "type": "object", "required": ["z"], "$defs": {"x": {"b": 1, "a": 2}}, "properties": {
        "z": {"type": "string", "enum": ["c", 1]}, "a": {"type": ["integer", "null"], "description": "A"},
        "n": {"anyOf": [{"type": "string"}, {"type": "array"}]}}}}})  # fmt: skip
CALL = parse_message({"role": "assistant", "tool_calls": [
    {"id": "i", "function": {"name": "f", "arguments": {"z": 1000000, "a": "<x>", "n": {"d": 1, "c": None}}}}]})  # fmt: skip

MESSAGES = [
    ("{{ range .Messages }}{{ .Role }}:{{ .Content }};{{ end }}[{{ .System }}{{ .Response }}]", [SYSTEM, HI, HI, YO],
     "system:Sys;user:Hi\n\nHi;assistant:Yo;[Sys]"),
    ("{{ range .Messages }}{{ range .ToolCalls }}{{ .ID }} {{ .Function.Index }} {{ .Function.Name }} "
     "{{ .Function.Arguments }}{{ range $k, $v := .Function.Arguments }} {{ $k }}={{ $v }}{{ end }}{{ end }}{{ end }}", [CALL],
     'i 0 f {"a":"\\u003cx\\u003e","n":{"c":null,"d":1},"z":1000000} a=<x> n=map[c:<nil> d:1] z=1e+06'),
    ("{{ json .Messages }}", [CALL],
     '[{"Role":"assistant","Content":"","Thinking":"","Images":null,"ToolCalls":[{"ID":"i","Function":{"Index":0,"Name":"f",'
     '"Arguments":{"a":"\\u003cx\\u003e","n":{"c":null,"d":1},"z":1000000}}}],"ToolName":"","ToolCallID":""}]'),
    ("{{ range .Tools }}{{ .Function }}{{ end }}{{ range .Messages }}{{ end }}", [HI],
     '{f <d> {object map[x:map[a:2 b:1]] <nil> [z] {"a":{"type":["integer","null"],"description":"A"},'
     '"n":{"anyOf":[{"type":"string"},{"type":"array"}]},"z":{"type":"string","enum":["c",1]}}}}'),
    ("{{ range .Tools }}{{ range $k, $v := .Function.Parameters.Properties }}{{ $k }}:{{ $v.Type }}:{{ .ToTypeScriptType }}:"
     "{{ $v.Enum }};{{ end }}{{ end }}{{ range .Messages }}{{ end }}", [HI],
     "a:[integer null]:number | null:[];n:[]:string | any[]:[];z:string:string:[c 1];"),
    ("{{ .Tools }}{{ range .Messages }}{{ end }}", [HI],
     '[{"type":"function","function":{"name":"f","description":"\\u003cd\\u003e","parameters":{"type":"object",'
     '"$defs":{"x":{"a":2,"b":1}},"required":["z"],"properties":{"a":{"type":["integer","null"],"description":"A"},'
     '"n":{"anyOf":[{"type":"string"},{"type":"array"}]},"z":{"type":"string","enum":["c",1]}}}}}]'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "messages", "prompt"), MESSAGES, ids=[case[0][:40] for case in MESSAGES])
def test_messages_calls_and_tools_look_as_in_ollama(text: str, messages: list[Message], prompt: str) -> None:
    assert GoTemplate(text).render(messages, [TOOL]) == prompt


@pytest.mark.parametrize(("think", "prompt"), [
    (None, "false  false"), (Think(False), "false  true"), (Think(True), "true medium true"),
    (Think(True, "high"), "true high true")])  # fmt: skip
def test_thinking_is_told_to_the_template(think: Think | None, prompt: str) -> None:
    assert GoTemplate("{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}{{ .Response }}").render([], [], think) == prompt


def test_text_is_filled_in_between_prompt_and_suffix() -> None:
    template = GoTemplate("{{ if .Suffix }}<P>{{ .Prompt }}<S>{{ .Suffix }}<M>{{ else }}{{ .Prompt }}{{ end }}")
    assert template.render_infill("a", "b") == "<P>a<S>b<M>"


def test_a_field_that_messages_lack_is_an_error() -> None:
    with pytest.raises(TemplateError, match=r"can't evaluate field Nope in type \*template.templateMessage"):
        GoTemplate("{{ range .Messages }}{{ .Nope }}{{ end }}").render([HI])


def test_a_template_is_parsed_once() -> None:
    assert go_template("{{ .Prompt }}") is go_template("{{ .Prompt }}")
