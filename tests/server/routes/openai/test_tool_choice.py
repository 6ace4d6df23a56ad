"""What OpenAI's tool_choice comes to, in the form of chats and in that of responses."""

from __future__ import annotations

from typing import Any

import pytest

from server.requests import ToolChoice, ToolUse
from server.routes.openai.tool_choice import read_tool_choice
from server.routes.v1 import Untranslatable
from tests.models.parsers.toolbox import tool

TOOLS = [{**t, "type": "function"} for t in (tool("f", a="string"), tool("g", a="string"))]
BOTH = ["f", "g"]
REQUIRED = ToolUse.REQUIRED


def chosen(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def flat(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name}


CHOICES: list[tuple[Any, list[str], ToolChoice]] = [
    (None, BOTH, ToolChoice()),
    ("auto", BOTH, ToolChoice()),
    ("none", BOTH, ToolChoice(ToolUse.NONE)),
    ("required", BOTH, ToolChoice(REQUIRED)),
    (chosen("f"), BOTH, ToolChoice(REQUIRED, "f")),
    (flat("f"), BOTH, ToolChoice(REQUIRED, "f")),
    ({"type": "web_search"}, BOTH, ToolChoice(REQUIRED, "web_search")),
    (
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [chosen("g")]}},
        ["g"],
        ToolChoice(REQUIRED),
    ),
    ({"type": "allowed_tools", "mode": "auto", "tools": [flat("f")]}, ["f"], ToolChoice()),
]


@pytest.mark.parametrize(("value", "names", "choice"), CHOICES)
def test_choices(value: Any, names: list[str], choice: ToolChoice) -> None:
    tools, found = read_tool_choice(value, TOOLS)
    assert ([t["function"]["name"] for t in tools], found) == (names, choice)


INVALID = "invalid tool_choice"
REFUSED: list[tuple[Any, str]] = [
    ("bogus", INVALID),
    (5, INVALID),
    ({}, INVALID),
    ({"type": "function"}, INVALID),
    ({"type": "function", "function": "f"}, INVALID),
    ({"type": "function", "function": {"name": 5}}, INVALID),
    ({"type": "custom", "custom": {"name": "f"}}, INVALID),
    ({"type": "allowed_tools"}, INVALID),
    ({"type": "allowed_tools", "allowed_tools": 5}, INVALID),
    ({"type": "allowed_tools", "mode": "none", "tools": []}, INVALID),
    ({"type": "allowed_tools", "mode": "auto", "tools": [chosen("h")]}, "allows the tool 'h', which"),
    ({"type": "allowed_tools", "mode": "auto", "tools": [5]}, "allows the tool '', which"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED)
def test_what_is_no_choice_is_refused(value: Any, text: str) -> None:
    with pytest.raises(Untranslatable, match=text):
        read_tool_choice(value, TOOLS)
