from __future__ import annotations

from pathlib import Path

import pytest

from models.parsers.syntax import JsonCalls, ReasoningTags
from models.templates.errors import TemplateError
from models.templates.probe import probe

TEMPLATES = Path(__file__).parents[2] / "conformance" / "templates"
AGENT = (TEMPLATES / "agent.jinja").read_text()
BRACKETS = (TEMPLATES / "brackets.jinja").read_text()
TURNS = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}THOUGHT{% endif %}{{ m.content }}"
    "{% if m.tool_calls %}CALLS{% endif %}<|end|>{% endfor %}"
)


def turns(thought: str = "", calls: str = "") -> str:
    described = "{% for t in tools %}{{ t | tojson }}{% endfor %}"
    return described + TURNS.replace("THOUGHT", thought).replace("CALLS", calls)


def each(call: str) -> str:
    return "{% for c in m.tool_calls %}{% set f = c.function %}" + call + "{% endfor %}"


CALLS = [
    (each('<tool_call>\n{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}\n</tool_call>'),
     JsonCalls("<tool_call>\n", "</tool_call>", repeats=True)),
    ('{% set f = m.tool_calls[0].function %}{"name": "{{ f.name }}", "parameters": {{ f.arguments | tojson }}}',
     JsonCalls("", "", arguments_key="parameters")),
    ("[TOOL_CALLS][" + each('{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}, "id": "{{ c.id }}"}'
     "{% if not loop.last %}, {% endif %}") + "]",
     JsonCalls("[TOOL_CALLS]", "", in_array=True, id_key="id")),
    ("<|tools|>[" + each('{"{{ f.name }}": {{ f.arguments | tojson }}}') + "]<|/tools|>",
     JsonCalls("<|tools|>", "<|/tools|>", in_array=True, name_is_key=True)),
    ("<calls>" + each("{{ c | tojson }}{% if not loop.last %},{% endif %}") + "</calls>",
     JsonCalls("<calls>", "</calls>", id_key="", wrapper="function")),
    (each("<call>{{ f.name }}({{ f.arguments | tojson }})</call>"), None),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "syntax"), CALLS, ids=[case[0][:40] for case in CALLS])
def test_the_syntax_of_calls_is_read_from_what_the_template_writes(calls: str, syntax: JsonCalls | None) -> None:
    traits = probe(turns(calls=calls))
    assert traits.describes_tools and traits.shows_calls and traits.takes_objects
    assert traits.calls == syntax


THOUGHTS = [
    (turns("<think>\n{{ m.reasoning_content }}\n</think>\n\n"), ReasoningTags("<think>\n", "\n</think>\n\n")),
    (turns("[THINK]{{ m.reasoning_content }}[/THINK]"), ReasoningTags("[THINK]", "[/THINK]")),
    (turns() + "{% if add_generation_prompt and not enable_thinking %}<think>\n\n</think>{% endif %}",
     ReasoningTags("<think>", "</think>")),
    (turns() + "{% if add_generation_prompt and enable_thinking %}<reason>\n{% endif %}",
     ReasoningTags("<reason>\n", "</reason>")),
    (turns() + "{# content.split('</think>') #}", ReasoningTags("<think>", "</think>")),
    (turns() + "{# <think> </think> #}", ReasoningTags("<think>", "</think>")),
    (turns(), None),
    (AGENT, ReasoningTags("<think>\n", "\n</think>\n\n")),
    (BRACKETS, None),
]  # fmt: skip


@pytest.mark.parametrize(("source", "tags"), THOUGHTS)
def test_the_tags_of_thoughts_are_found(source: str, tags: ReasoningTags | None) -> None:
    assert probe(source).reasoning == tags


def test_what_a_template_does_not_do_is_not_claimed() -> None:
    traits = probe(BRACKETS)
    assert traits.takes_text and traits.has_system_role
    assert not (traits.takes_parts or traits.describes_tools or traits.shows_calls or traits.takes_objects)


def test_a_template_that_fails_has_no_traits_and_a_malformed_one_is_an_error() -> None:
    assert not probe("{{ nothing() }}").takes_text
    with pytest.raises(TemplateError):
        probe("{% if %}")
