"""Fields that the dialects under /v1 take besides their own: the native API's, options by name, and Puna's.

Ollama ignores them there. What a dialect's own fields say wins over what is said here, and a field over the same option
in `options`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.errors import OptionTypeError
from models.options import NAMES, parse_options
from models.templates.chat import Think
from server.errors import BadField
from server.json_decoding.containers import Map, Pointer, Struct
from server.json_decoding.kinds import decode, member
from server.json_decoding.nodes import Node
from server.json_decoding.scalars import ANY, BOOL, FLOAT64, INT, STRING
from server.routes.checks import check_one_constraint
from server.routes.values import KEEP_ALIVE, OPTIONS, THINK

MAX_BIASES = 1024
MAX_BUDGET = 2**31 - 1


@dataclass(slots=True)
class UsageBody:
    include: bool = member(BOOL)


@dataclass(slots=True)
class ExtraFields:
    """To be derived from by the bodies of requests to a model."""

    options: dict[str, Any] = member(OPTIONS)
    keep_alive: int | None = member(KEEP_ALIVE)
    num_ctx: int | None = member(Pointer(INT))


@dataclass(slots=True)
class ExtraTextFields(ExtraFields):
    """The same where the model writes text."""

    think: Think | None = member(THINK)
    top_k: int | None = member(Pointer(INT))
    min_p: float | None = member(Pointer(FLOAT64))
    repeat_penalty: float | None = member(Pointer(FLOAT64))
    grammar: str = member(STRING)
    regex: str = member(STRING)
    reasoning_budget_tokens: int | None = member(Pointer(INT))
    chat_template_kwargs: dict[str, Any] = member(Map(ANY))
    truncate: bool | None = member(Pointer(BOOL))
    shift: bool | None = member(Pointer(BOOL))
    usage: UsageBody | None = member(Pointer(Struct("puna.Usage", UsageBody)))


def adopt_options(body: ExtraFields, members: dict[str, Node]) -> list[str]:
    """Take those of the unknown members that are called like an option as one; returns the names of the others."""
    body.options = body.options | {k: decode(ANY, v) for k, v in members.items() if k in NAMES}
    return [name for name in members if name not in NAMES]


def extra_options(body: ExtraFields) -> dict[str, Any]:
    """The options that these fields come to. Raises: BadField."""
    named: dict[str, Any] = {"num_ctx": body.num_ctx}
    if isinstance(body, ExtraTextFields):
        named |= {"top_k": body.top_k, "min_p": body.min_p, "repeat_penalty": body.repeat_penalty}
    known = {name: value for name, value in body.options.items() if name in NAMES}
    if known:
        _check_options(known)
    return known | said(named)


def _check_options(options: dict[str, Any]) -> None:
    try:
        found = parse_options(options)
    except OptionTypeError as error:
        raise BadField(str(error)) from error
    if found.logit_bias and len(found.logit_bias) > MAX_BIASES:
        raise BadField(f"logit_bias has {len(found.logit_bias)} entries, at most {MAX_BIASES} are possible")


def extra_members(body: ExtraTextFields, format_: bytes, budget: int | None = None) -> dict[str, Any]:
    """What of a request these fields come to, besides options. `budget`: the dialect's own word on thoughts.

    # Compat: the prompt is not cut unless the request says so; Ollama cuts it silently. Raises: BadField.
    """
    check_one_constraint(format_, body.grammar, body.regex)
    return {
        "keep_alive_ns": body.keep_alive,
        "format": format_,
        "grammar": body.grammar,
        "regex": body.regex,
        "thinking_budget": _budget(body.reasoning_budget_tokens) if budget is None else budget,
        "template_kwargs": body.chat_template_kwargs,
        "truncate": body.truncate is True,
        "shift": body.shift,
    }


def extra_think(body: ExtraTextFields) -> Think | None:
    """Whether to think, said in either way; None where nothing is said of it.

    A template's variable that turns thoughts off means the same for models whose prompts are no templates.
    """
    if body.think is None and body.chat_template_kwargs.get("enable_thinking") is False:
        return Think(False)
    return body.think


def _budget(n_tokens: int | None) -> int | None:
    """-1, as llama-server has it, is no limit."""
    if n_tokens is None or n_tokens == -1:
        return None
    if not 0 <= n_tokens <= MAX_BUDGET:
        raise BadField("reasoning_budget_tokens must be a number of tokens, or -1 for no limit")
    return n_tokens


def said(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that the client did not name."""
    return {name: value for name, value in options.items() if value is not None}
