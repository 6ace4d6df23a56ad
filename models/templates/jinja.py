"""A GGUF's own chat template (Hugging Face's Jinja): compiled once, rendered within limits.

What such templates expect is transformers' `apply_chat_template`: block trimming, loop controls, `raise_exception`,
`strftime_now`, `tojson` without HTML escapes. jinja2 is imported when the first template is compiled: the server starts
without it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from models.templates.errors import TemplateError
from models.templates.limits import Budget, current_budget, n_chars

if TYPE_CHECKING:
    from jinja2 import Template

MAX_SOURCE_CHARS = 128 * 1024

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_DATE_FORMAT = re.compile(r"(?:[^%]|%-?[A-Za-z%])*")


class ChatTemplate:
    """A compiled template. `source` is its text."""

    def __init__(self, source: str) -> None:
        """Raises: TemplateError for a text that is no template."""
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateError("chat template is too long")
        from models.templates.sandbox import compile_source  # jinja2, which the server's start does without

        self.source = source
        self._root = _within(Budget(), lambda: compile_source(source))

    def render(self, variables: Mapping[str, Any], *, now: datetime | None = None) -> str:
        """The text for these variables. Raises: TemplateError, also when the template refuses (`raise_exception`)."""
        budget = Budget(n_chars(variables), len(variables.get("messages") or ()))
        names = dict(variables) | {"raise_exception": _refuse, "strftime_now": _clock(now)}
        return _within(budget, lambda: _joined(self._root, names, budget))


@lru_cache(maxsize=64)
def chat_template(source: str) -> ChatTemplate:
    """The compiled template, parsed once. Raises: TemplateError."""
    return ChatTemplate(source)


def render_chat_template(
    source: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    bos_token: str = "",
    eos_token: str = "",
    add_generation_prompt: bool = True,
    **kwargs: Any,
) -> str:
    """Render as transformers does: the variables are what a template finds by these names. Raises: TemplateError."""
    variables = {"messages": messages, "bos_token": bos_token, "eos_token": eos_token, **kwargs}
    if tools:
        variables["tools"] = tools
    if add_generation_prompt:
        variables["add_generation_prompt"] = True
    return chat_template(source).render(variables)


def _joined(template: Template, names: dict[str, Any], budget: Budget) -> str:
    pieces = []
    for piece in template.root_render_func(template.new_context(names)):
        budget.charge(len(piece))
        pieces.append(piece)
    return _encodable("".join(pieces))


def _encodable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that a template's string literals brought in."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _within(budget: Budget, work: Callable[[], _T]) -> _T:
    token = current_budget.set(budget)
    try:
        return work()
    except TemplateError:
        raise
    except RecursionError:
        raise TemplateError("template recursion is too deep") from None
    except Exception as error:  # a template is a program of its own: it may fail in any way that Python can
        _log.debug("chat template failed", exc_info=True)
        raise TemplateError(_encodable(str(error)) or type(error).__name__) from error
    finally:
        current_budget.reset(token)


def _refuse(message: object) -> NoReturn:
    raise TemplateError(_encodable(str(message)))


def _clock(now: datetime | None) -> Callable[[str], str]:
    def strftime_now(layout: str) -> str:
        if len(layout) > 200 or not _DATE_FORMAT.fullmatch(layout):
            raise TemplateError("strftime_now: unknown format")
        return (now or datetime.now()).strftime(layout)

    return strftime_now
