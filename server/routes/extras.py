"""Fields of the native API that the dialects under /v1 take as well, for clients that can send fields of their own.

Ollama ignores them there. What a dialect's own fields say wins over what is said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.templates.chat import Think
from server.json_decoding.kinds import FLOAT64, INT, Pointer, member
from server.routes.values import KEEP_ALIVE, OPTIONS, THINK


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


def extra_options(body: ExtraFields) -> dict[str, Any]:
    """The options that these fields come to."""
    named: dict[str, Any] = {"num_ctx": body.num_ctx}
    if isinstance(body, ExtraTextFields):
        named |= {"top_k": body.top_k, "min_p": body.min_p, "repeat_penalty": body.repeat_penalty}
    return body.options | said(named)


def said(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that the client did not name."""
    return {name: value for name, value in options.items() if value is not None}
