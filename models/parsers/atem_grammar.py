"""Grammars of replies of Glimmer that are calls, after thoughts, if any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.parsers.atem import BLOCK, BLOCK_END
from models.parsers.body_grammar import text_until, with_definitions
from models.parsers.lark import Lark

_AGAIN = "<|start|>assistant"


def atem_reply(lark: Lark, calls: str, *, many: bool) -> str:
    """Messages to tools, perhaps with one to itself before them; the prompt has begun the first."""
    thought = f"{lark.literal(' to=self<|message|>')} {lark.until('<|eom|>')} {lark.literal(_AGAIN)}"
    more = f" ({lark.literal('<|eom|>' + _AGAIN)} {calls})*" if many else ""
    return f"({thought})? {calls}{more}"


def atem_call(lark: Lark, i: int, name: str, schema: Mapping[str, Any]) -> str:
    """The rule of a call of tool `i`, whose arguments follow this schema of an object."""
    parts = [lark.literal(f' to={name}<|message|>{BLOCK}\n<atem:invoke name="{name}">\n')]
    for n, (key, parameter) in enumerate((schema.get("properties") or {}).items()):
        value = text_until(lark, f"value_{i}_{n}", with_definitions(parameter, schema), "</atem:parameter>")
        whole = f"{lark.literal(f'<atem:parameter name={chr(34)}{key}{chr(34)}>')} {value} {lark.literal(chr(10))}"
        parts.append(whole if key in (schema.get("required") or ()) else f"({whole})?")
    return " ".join((*parts, lark.literal(f"</atem:invoke>\n{BLOCK_END}")))
