"""A call as Glimmer writes it: one block, one function, parameters as text.

# Compat: prompting 6.18.
"""

from __future__ import annotations

from models.parsers.text import trim
from registry.gojson import quote

BLOCK, BLOCK_END = "<atem:function_calls>", "</atem:function_calls>"
STRAY = "<|message|>"
"""A token that the model sometimes puts into the name of the function, perhaps instead of what ends it."""

_INVOKE, _INVOKE_END = '<atem:invoke name="', "</atem:invoke>"
_PARAMETER, _PARAMETER_END = '<atem:parameter name="', "</atem:parameter>"
_NAME_END = '">'


class MalformedAtem(Exception):
    """The text says what is missing."""


def parse_atem(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The name of the function, and its parameters as they stand there. Raises: MalformedAtem."""
    text = _within(trim(text), BLOCK, BLOCK_END, "missing ATEM function_calls wrapper")
    text = _within(trim(text), _INVOKE, _INVOKE_END, "missing ATEM invoke wrapper")
    name, rest = _split_name(text)
    return name, _parameters(rest)


def _within(text: str, begin: str, end: str, problem: str) -> str:
    inner = text.removeprefix(begin)
    if inner == text or not inner.endswith(end):
        raise MalformedAtem(problem)
    return inner.removesuffix(end)


def _split_name(text: str) -> tuple[str, str]:
    name, end, rest = text.partition(_NAME_END)
    if STRAY in name and (not end or "<" in name.replace(STRAY, "")):
        # The token stands where the name should have ended.
        name, _, rest = text.partition(STRAY)
        while rest.startswith(STRAY):
            rest = rest.removeprefix(STRAY)
        return trim(name), rest
    if not end:
        raise MalformedAtem("malformed ATEM invoke name")
    return trim(name.replace(STRAY, "")), rest


def _parameters(text: str) -> list[tuple[str, str]]:
    parameters = []
    while text := trim(text):
        opened = text.removeprefix(_PARAMETER)
        if opened == text:
            raise MalformedAtem("malformed ATEM parameter")
        name, end, rest = opened.partition(_NAME_END)
        if not end:
            raise MalformedAtem("malformed ATEM parameter name")
        value, end, text = rest.partition(_PARAMETER_END)
        if not end:
            raise MalformedAtem(f"unterminated ATEM parameter {quote(name)}")
        parameters.append((name, value))
    return parameters
