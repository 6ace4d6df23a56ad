"""The built-in parsers by the name that a model's config gives (prompting.md 6.0)."""

from __future__ import annotations

from models.parsers import deepseek
from models.parsers.steps import Expectations, ParserKind, Step


class _Passthrough:
    """Everything is content."""

    def add(self, text: str, done: bool) -> Step:
        return Step(text)


def _passthrough(expectations: Expectations) -> _Passthrough:
    return _Passthrough()


PARSERS: dict[str, ParserKind] = {
    "cogito": deepseek.COGITO,
    "deepseek3": deepseek.DEEPSEEK,
    "passthrough": ParserKind(_passthrough, has_tools=False, has_thinking=False),
}


def find_parser(name: str) -> ParserKind | None:
    """The parser of this name; None for an unknown one, whose model is served as if it had none."""
    return PARSERS.get(name)
