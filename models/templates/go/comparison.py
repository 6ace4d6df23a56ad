"""Go templates' `eq`, `lt` and their kin: only values of one basic kind compare.

Source: Go, text/template/funcs.go.
"""

from __future__ import annotations

from models.templates.go.errors import CallError
from models.templates.go.values import Struct, Value, basic_kind, type_name


def equal(first: Value, *others: Value) -> bool:
    """Whether the first value equals any of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_equals(first, other) for other in others)


def unequal(first: Value, second: Value) -> bool:
    """`ne`."""
    return not equal(first, second)


def less(first: Value, second: Value) -> bool:
    """`lt`; strings compare by their bytes, which is the order of their code points."""
    kinds = basic_kind(first), basic_kind(second)
    if "" in kinds or kinds[0] == "bool":
        raise CallError("invalid type for comparison")
    if kinds[0] != kinds[1]:
        raise _incompatible(first, second)
    return bool(first < second)


def less_or_equal(first: Value, second: Value) -> bool:
    """`le`."""
    return less(first, second) or _equals(first, second)


def greater(first: Value, second: Value) -> bool:
    """`gt`."""
    return not less_or_equal(first, second)


def greater_or_equal(first: Value, second: Value) -> bool:
    """`ge`."""
    return not less(first, second)


def _equals(first: Value, second: Value) -> bool:
    kinds = basic_kind(first), basic_kind(second)
    if kinds[0] != kinds[1]:
        if first is None or second is None:
            return False
        raise _incompatible(first, second)
    if kinds[0]:
        return bool(first == second)
    for value in (first, second):
        if isinstance(value, (list, dict)) and (first is not None and second is not None):
            raise CallError(f"non-comparable type {type_name(value)}")
    if isinstance(first, Struct) or isinstance(second, Struct):
        return first is second
    return (first is None or first == []) and (second is None or second == [])


def _incompatible(first: Value, second: Value) -> CallError:
    return CallError(f"incompatible types for comparison: {type_name(first)} and {type_name(second)}")
