"""Which tools a reply may or must call, as chats and responses say it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from models.templates.chat import Tool
from server.requests import ToolChoice, ToolUse
from server.routes.v1 import Untranslatable

_MODES = {"auto": ToolUse.AUTO, "none": ToolUse.NONE, "required": ToolUse.REQUIRED}
CHOICES = '"none", "auto", "required", a function, or allowed_tools'


def read_tool_choice(value: Any, tools: Sequence[Tool]) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that are left, and what to do with them. Raises: Untranslatable.

    A function is named within `function` in chats, and beside its type in responses; so are the allowed tools.
    """
    match value:
        case None:
            return tuple(tools), ToolChoice()
        case str() if value in _MODES:
            return tuple(tools), ToolChoice(_MODES[value])
        case {"type": "allowed_tools"}:
            return _allowed(value.get("allowed_tools", value), tools)
        case {"type": "function"} if name := _function_name(value):
            return tuple(tools), ToolChoice(ToolUse.REQUIRED, name)
        case {"type": "web_search" | "web_search_preview"}:
            return tuple(tools), ToolChoice(ToolUse.REQUIRED, "web_search")
        case _:
            raise Untranslatable(f"invalid tool_choice (must be {CHOICES})")


def _function_name(choice: dict[str, Any]) -> str:
    function = choice.get("function", choice)
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _allowed(value: Any, tools: Sequence[Tool]) -> tuple[tuple[Tool, ...], ToolChoice]:
    match value:
        case {"mode": "auto" | "required" as mode, "tools": list(choices)}:
            pass
        case _:
            raise Untranslatable('invalid tool_choice: allowed_tools needs tools, and the mode "auto" or "required"')
    names = [_function_name(choice) if isinstance(choice, dict) else "" for choice in choices]
    _require_declared(names, tools)
    return tuple(tool for tool in tools if tool["function"]["name"] in names), ToolChoice(_MODES[mode])


def _require_declared(names: Iterable[str], tools: Sequence[Tool]) -> None:
    declared = {tool["function"]["name"] for tool in tools}
    for name in names:
        if name not in declared:
            raise Untranslatable(f"tool_choice allows the tool '{name}', which the request does not declare")
