"""JSON as Go reads it: what a model wrote as arguments becomes the same values."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from models.parsers.text import trim

_MAX_EXACT_INT = 2**53


def decode_json(text: str) -> Any:
    """The value of a JSON text; integers that a float64 does not hold become floats. Raises: ValueError."""
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise ValueError("exceeded max depth") from None


def decode_start(text: str) -> tuple[Any, int]:
    """The value that a text begins with, and where it ends. Raises: ValueError."""
    try:
        value, end = _decoder.raw_decode(text)
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    return value, end


def decode_object(text: str) -> dict[str, Any] | None:
    """The object that a JSON text is; None if it is anything else."""
    try:
        value = decode_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def member(fields: dict[str, Any], name: str) -> Any:
    """A member of an object read as a Go struct: case does not matter, the last one wins; None if there is none."""
    found = [value for key, value in fields.items() if key.lower() == name]
    return found[-1] if found else None


def is_blank(text: str) -> bool:
    """Whether there is only whitespace."""
    return not trim(text)


def _float(digits: str) -> float:
    number = float(digits)
    if abs(number) == float("inf"):
        raise ValueError(f"number {digits} out of range")
    return number


def _int(digits: str) -> int | float:
    number = _float(digits)
    return int(digits) if abs(number) <= _MAX_EXACT_INT else number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"invalid character in literal {name}")


_decoder = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_refuse)
