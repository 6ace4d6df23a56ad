"""Grammars of calls with a body of their own: XML, Python, the Gemma families."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from models.parsers.gemma_grammar import GemmaValues
from models.parsers.lark import Lark
from models.parsers.syntax import Body, BodyCalls
from models.templates.schema import types_of

_LINE_END = r"/\n?/"


def body_call(syntax: BodyCalls, lark: Lark, i: int, name: str, schema: Mapping[str, Any]) -> str:
    """The rule of a call of tool `i`, whose arguments follow this schema of an object."""
    required = schema.get("required") or ()
    parameters = [
        (key, f"value_{i}_{n}", with_definitions(parameter, schema))
        for n, (key, parameter) in enumerate((schema.get("properties") or {}).items())
    ]
    match syntax.body:
        case Body.QWEN_XML:
            values = [(key, _qwen_value(lark, rule, key, parameter)) for key, rule, parameter in parameters]
            head, end = f"{syntax.start}\n<function={name}>\n", f"</function>\n{syntax.end}"
            return f"{lark.literal(head)} {_in_turn(values, required)} {lark.literal(end)}"
        case Body.GLM_XML:
            values = [(key, _glm_value(lark, rule, key, parameter)) for key, rule, parameter in parameters]
            head = f"{lark.literal(syntax.start + name)} {_LINE_END}"
            return f"{head} {_in_turn(values, required)} {lark.literal(syntax.end)}"
        case Body.PYTHON | Body.PYTHON_LINES:
            is_one_line = syntax.body is Body.PYTHON_LINES
            values = [
                (key, f"{lark.literal(f'{key}=')} {lark.json(rule, parameter, is_one_line=is_one_line)}")
                for key, rule, parameter in parameters
            ]
            return f'{lark.literal(f"{name}(")} {lark.listed(values, required, ", ")} ")"'
        case Body.GEMMA | Body.FUNCTION_GEMMA:
            gemma = GemmaValues(lark, is_one_line=syntax.body is Body.FUNCTION_GEMMA)
            values = [(key, gemma.member(key, rule, parameter)) for key, rule, parameter in parameters]
            head = lark.literal(f"{syntax.start}call:{name}")
            return f'{head} "{{" {lark.listed(values, required, ",")} "}}" {lark.literal(syntax.end)}'
        case _:
            assert_never(syntax.body)


def with_definitions(parameter: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a parameter with what it may refer to."""
    return {**parameter, "$defs": schema["$defs"]} if "$defs" in schema else parameter


def text_until(lark: Lark, rule: str, parameter: Mapping[str, Any], end: str, *, before_end: str = "") -> str:
    """A value up to its end tag: text as it is, anything else as JSON; `before_end` stands only after the latter."""
    choices: Sequence[Any] = parameter.get("enum") or ()
    is_text = types_of(parameter) == ("string",) and all(isinstance(choice, str) for choice in choices)
    if is_text and not choices:
        return lark.until(end)
    value = lark.either(map(lark.literal, choices)) if is_text else lark.json(rule, parameter)
    return f"{value} {lark.literal(before_end + end)}"


def _qwen_value(lark: Lark, rule: str, key: str, parameter: Mapping[str, Any]) -> str:
    value = text_until(lark, rule, parameter, "</parameter>", before_end="\n")
    return f"{lark.literal(f'<parameter={key}>' + chr(10))} {value} {json.dumps(chr(10))}"


def _glm_value(lark: Lark, rule: str, key: str, parameter: Mapping[str, Any]) -> str:
    value = text_until(lark, rule, parameter, "</arg_value>")
    named = f"{lark.literal(f'<arg_key>{key}</arg_key>')} {_LINE_END}"
    return f"{named} {lark.literal('<arg_value>')} {value} {_LINE_END}"


def _in_turn(values: Sequence[tuple[str, str]], required: Sequence[str]) -> str:
    return " ".join(value if key in required else f"({value})?" for key, value in values)
