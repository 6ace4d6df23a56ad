# ruff: noqa: E501
# A row of a table is one line.

from __future__ import annotations

import pytest

from models.templates.errors import TemplateError
from models.templates.go.analysis import analyse

VARIABLES = [
    ("{{ .Prompt }}", {"prompt"}),
    ("{{ if .A }}{{ .B.C }}{{ else }}{{ $.D }}{{ end }}", {"$", "a", "b", "c", "d"}),
    ("{{ range $m := .Messages }}{{ $m.Content }}{{ end }}", {"messages", "$m", "content"}),
    ("{{ with (index .Messages 0) }}{{ .Role }}{{ end }}{{ (index .X 1).Y }}", {"messages", "role"}),
    ("{{ define \"d\" }}{{ .Z }}{{ end }}{{ template \"d\" .Q }}", {"z", "q"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "variables"), VARIABLES)
def test_variables_are_the_names_between_dots(text: str, variables: set[str]) -> None:
    assert analyse(text).variables == variables


CALL_TAGS = [
    ("{{ if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}{\"name\"{{ end }}{{ end }}", "<tool_call>"),
    ("{{ range .Messages }}{{ if and .ToolCalls .X }}  [TOOL_CALLS] [{{ end }}{{ end }}", "[TOOL_CALLS] ["),
    ("{{ if .ToolCalls }}{{ .X }}<tool>{{ end }}", "{"),
    ("{{ if .ToolCalls }} {{ range .ToolCalls }}{\"name\"{{ end }}{{ end }}", "{"),
    ("{{ if (.M).ToolCalls }}<x>{{ end }}", "{"),
    ("{{ if .ToolCalls }}a\r\nb {{ end }}{{ if .ToolCalls }}second{{ end }}", "a\nb"),
    ("{{ if .X }}{{ else }}{{ if .ToolCalls }}<t>{{ end }}{{ end }}", "<t>"),
    ("plain", "{"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tag"), CALL_TAGS)
def test_the_tag_of_calls_is_the_first_text_of_the_first_branch_that_asks_for_them(text: str, tag: str) -> None:
    assert analyse(text).tools_tag == tag


THINKING_TAGS = [
    ("{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}", ("<think>", "</think>")),
    ("{{ range $i, $_ := slice .Messages 1 }}{{ if .Thinking }} <t>\n{{ .Thinking }}\n</t> {{ end }}{{ end }}", ("<t>", "</t>")),
    ("{{ range $.Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}", None),
    ("{{ range .Others }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}", None),
    ("{{ range .Messages }}<t>{{ .Thinking }}{{ .Content }}{{ end }}", None),
    ("{{ .Thinking }}", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tags"), THINKING_TAGS)
def test_the_tags_of_thoughts_stand_around_them(text: str, tags: tuple[str, str] | None) -> None:
    assert analyse(text).thinking_tags == tags


def test_a_template_called_without_a_value_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"^undefined template specified$"):
        analyse('{{ define "m" }}x{{ end }}{{ template "m" }}')
