"""Tools as requests declare them."""

from __future__ import annotations

from typing import Any

from models.templates.chat import Tool
from models.templates.schema import parse_tool


def tool(name: str, *required: str, **properties: str | dict[str, Any]) -> Tool:
    """A tool; a property is a schema, or only its type."""
    schemas = {key: {"type": value} if isinstance(value, str) else value for key, value in properties.items()}
    return parse_tool({"function": {"name": name, "parameters": {"required": required, "properties": schemas}}})
