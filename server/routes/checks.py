"""Checks of fields that all dialects share: what Ollama's own handlers look at before they look for the model."""

from __future__ import annotations

from typing import Any

from server.errors import BadField

MODEL_REQUIRED = "model is required"
MAX_TOP_LOGPROBS = 20


def require_model(name: str) -> None:
    """Raises: BadField where there is no name at all; a wrong one is found out later."""
    if not name.strip():
        raise BadField(MODEL_REQUIRED)


def count_logprobs(wanted: bool, top: int) -> int | None:
    """How many rivals of each token are told; None for no log-probabilities. Raises: BadField."""
    if not 0 <= top <= MAX_TOP_LOGPROBS:
        raise BadField(f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}")
    return top if wanted else None


def check_one_constraint(format_: bytes, grammar: str, regex: str) -> None:
    """Raises: BadField where a reply would have to match several things at once."""
    said = [name for name, value in (("format", format_), ("grammar", grammar), ("regex", regex)) if value]
    if len(said) > 1:
        raise BadField(f"{' and '.join(said)} cannot be combined")


def parse_inputs(value: Any) -> tuple[str, ...]:
    """The texts to embed. Raises: BadField.

    # Compat: http-api 6.13: an empty text alone only loads, one within a list is embedded.
    """
    match value:
        case None | "":
            return ()
        case str():
            return (value,)
        case list() if all(isinstance(item, str) for item in value):
            return tuple(value)
        case _:
            raise BadField("invalid input type")
