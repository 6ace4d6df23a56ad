"""What a client that wants a say in calls gets: from the request to what the runner is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.capabilities import PromptSource
from models.errors import BadRequest, Unsupported
from models.parsers.events import Finished
from models.runner.settings import Thought
from models.templates.chat import Think
from registry.manifest import ModelConfig
from server.requests import ToolChoice, ToolUse
from tests.models.parsers.toolbox import tool
from tests.server.test_generation import ScriptedRunner, chat, events, serving, spec

TEMPLATES = Path(__file__).parents[1] / "models" / "templates" / "chat_templates"
TOOLS = tuple({**t, "type": "function"} for t in (tool("get_weather", city="string"), tool("add", a="integer")))
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
REQUIRED, NONE = ToolChoice(ToolUse.REQUIRED), ToolChoice(ToolUse.NONE)


def named(name: str) -> ToolChoice:
    return ToolChoice(ToolUse.REQUIRED, name)


def model(family: str = "qwen2.5", **changes: Any) -> Any:
    source = (TEMPLATES / f"{family}.jinja").read_text()
    return spec(chat_template=source, capabilities=("completion", "tools"), **changes)


def ask(choice: ToolChoice, served: Any = None, reply: str = CALL, **changes: Any) -> tuple[dict[str, Any], list[Any]]:
    runner = ScriptedRunner(reply, n_ctx=10_000)
    generation, _ = serving(runner, served or model())
    fields: dict[str, Any] = {"tools": TOOLS, "tool_choice": choice, **changes}
    told = events(generation.chat(chat(**fields)))
    return runner.asked[0], told


def test_a_client_that_says_nothing_gets_calls_and_no_constraint() -> None:
    asked, told = ask(ToolChoice())
    assert asked["constraint"] is None and "get_weather" in asked["prompt"]
    assert isinstance(told[-1], Finished) and told[-1].delta.tool_calls[0].name == "get_weather"
    assert asked["shown"] == ("<tool_call>", "</tool_call>")


SCHEMA = b'{"type": "object"}'


@pytest.mark.parametrize(
    ("choice", "kind"),
    [(ToolChoice(), "json_schema"), (NONE, "json_schema"), (REQUIRED, "calls"), (named("add"), "calls")],
)
def test_a_format_is_that_of_an_answer_so_a_call_that_is_demanded_goes_before_it(choice: ToolChoice, kind: str) -> None:
    asked, _ = ask(choice, format=SCHEMA)
    assert asked["constraint"].kind == kind


@pytest.mark.parametrize("choice", [REQUIRED, named("add")])
@pytest.mark.parametrize("field", ["grammar", "regex"])
def test_a_reply_cannot_be_a_call_and_match_a_grammar(choice: ToolChoice, field: str) -> None:
    with pytest.raises(BadRequest, match=f"demands a tool call, which cannot be combined with {field}"):
        ask(choice, **{field: "a"})
    asked, _ = ask(ToolChoice(), **{field: "a"})
    assert asked["constraint"].text == "a"


def test_none_offers_no_tools_and_reads_no_calls() -> None:
    asked, told = ask(NONE)
    assert "get_weather" not in asked["prompt"] and asked["constraint"] is None
    assert told[0].content == CALL and told[-1].delta.tool_calls == ()


def test_none_asks_nothing_of_a_model_without_tools() -> None:
    asked, _ = ask(NONE, spec())
    assert asked["constraint"] is None


def test_a_call_can_be_demanded_of_any_tool_or_of_one() -> None:
    asked, told = ask(REQUIRED)
    assert asked["constraint"].kind == "calls"
    assert asked["constraint"].tags == ("<tool_call>", "</tool_call>")
    assert "get_weather" in asked["constraint"].text and "add" in asked["constraint"].text
    assert told[-1].delta.tool_calls[0].arguments == {"city": "Rome"}
    asked, _ = ask(named("add"))
    assert "get_weather" not in asked["constraint"].text and "get_weather" in asked["prompt"]


def test_harmony_behind_a_go_template_is_held_to_the_names_that_it_was_told() -> None:
    tools = tuple({**t, "type": "function"} for t in (tool("get.weather", city="string"), tool("add", a="integer")))
    served = spec(
        config=ModelConfig(parser="harmony"),
        template="<|start|>{{ range .Tools }}{{ .Function.Name }}{{ end }}<|end|>{{ .Messages }}",
        prompt_source=PromptSource.GO_TEMPLATE,
        capabilities=("completion", "tools"),
    )
    reply = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}'
    asked, told = ask(named("get.weather"), served, reply=reply, tools=tools)
    assert "get_weather" in asked["prompt"] and "functions.get_weather " in asked["constraint"].text
    assert "functions.add" not in asked["constraint"].text
    assert told[-1].delta.tool_calls[0].name == "get.weather"


def test_a_client_that_wants_one_call_at_a_time_gets_no_second_one() -> None:
    both, one = ask(REQUIRED)[0]["constraint"].text, ask(REQUIRED, parallel_tool_calls=False)[0]["constraint"].text
    assert ")*" in both.partition("\ncall_0")[0] and ")*" not in one.partition("\ncall_0")[0]
    _, told = ask(ToolChoice(), reply=CALL * 2, parallel_tool_calls=False)
    assert len(told[-1].delta.tool_calls) == 1


def test_variables_for_a_chat_template_reach_it_and_switch_thoughts_off() -> None:
    source = "{% if enable_thinking %}<think>{% endif %}{{ mood }}{# </think> #}"
    served = spec(chat_template=source, capabilities=("completion", "thinking"))
    for kwargs, think, prompt in (
        ({"mood": "glad"}, None, "<think>glad"),
        ({"enable_thinking": False}, None, ""),
        ({"enable_thinking": False}, Think(True), "<think>"),
    ):
        asked, _ = ask(ToolChoice(), served, template_kwargs=kwargs, think=think, tools=())
        assert asked["prompt"] == prompt


def test_a_demanded_call_may_come_after_thoughts() -> None:
    asked, _ = ask(REQUIRED, model("granite-3.3"))
    assert asked["constraint"].thought == Thought("<think>", "</think>", is_open=False)


def test_harmony_has_its_thoughts_in_the_grammar() -> None:
    asked, _ = ask(REQUIRED, model("gpt-oss"))
    assert asked["constraint"].thought is None and "analysis" in asked["constraint"].text
    assert "<|channel|>" in asked["shown"]


def test_models_with_a_built_in_parser_or_a_go_template_obey_as_well() -> None:
    renderer = model(
        prompt_source=PromptSource.RENDERER, config=ModelConfig(renderer="qwen3-coder", parser="qwen3-coder")
    )
    assert (
        "<function="
        in ask(REQUIRED, renderer, "<tool_call><function=add></function></tool_call>")[0]["constraint"].text
    )
    go = "{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}[TOOL_CALLS] [{{ end }}{{ end }}{{ .Tools }}"
    asked, _ = ask(REQUIRED, model(prompt_source=PromptSource.GO_TEMPLATE, template=go))
    assert 'start: tag_0 " " "["' in asked["constraint"].text
    assert asked["constraint"].tags == ("[TOOL_CALLS]",)


@pytest.mark.parametrize(
    ("choice", "tools", "text"),
    [
        (REQUIRED, (), "declares no tools"),
        (named("sing"), TOOLS, "demands the tool 'sing'"),
    ],
)
def test_a_demand_that_cannot_be_met_is_refused(choice: ToolChoice, tools: tuple[Any, ...], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        ask(choice, tools=tools)


def test_a_demand_of_a_model_whose_calls_are_unknown_is_refused() -> None:
    with pytest.raises(Unsupported, match="not known how this model writes"):
        ask(REQUIRED, spec(capabilities=("completion", "tools")))
