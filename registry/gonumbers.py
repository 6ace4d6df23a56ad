"""Numbers as Go prints them: the shortest digits that name the value, laid out as encoding/json or as `%v` does."""

from __future__ import annotations

import math
import re
import struct
from decimal import ROUND_HALF_EVEN, ROUND_UP, Context, Decimal

from registry.errors import UnsupportedValue

_EXPONENT_FORM = re.compile(rb"[0-9.]+e[+-]?[0-9]+")


def format_float(value: float) -> str:
    """The JSON text of a float64: shortest digits, an exponent only below 1e-6 or from 1e21 on."""
    if not math.isfinite(value):
        raise UnsupportedValue("NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf")
    text = repr(value)
    if "e" in text:
        return _json_number(text)
    return text.removesuffix(".0")


def format_float32(value: float) -> str:
    """The JSON text of the float32 nearest to the value: the shortest digits that name this float32."""
    single = _to_float32(value)
    if not math.isfinite(single) or single == 0:
        return format_float(single)
    exact = Decimal(single)
    for n_digits in range(1, 10):
        # Above a power of two the neighbours lie twice as far apart: a number above it may be shorter than the nearest.
        for rounding in (ROUND_HALF_EVEN, ROUND_UP):
            candidate = Context(prec=n_digits, rounding=rounding).plus(exact)
            if _to_float32(float(candidate)) == single:
                return _json_number(str(candidate))
    raise AssertionError("nine digits name every float32")


def to_go_numbers(numbers: bytes) -> bytes:
    """orjson's text of an array of floats, rewritten where Go's differs."""
    if b"null" in numbers:
        raise UnsupportedValue("NaN")
    numbers = numbers.replace(b".0,", b",").replace(b".0]", b"]")
    if b"e" in numbers:
        numbers = _EXPONENT_FORM.sub(lambda match: _json_number(match[0].decode()).encode(), numbers)
    return numbers


def format_g(value: float) -> str:
    """The `%v` text of a float64: in exponent form below 1e-04 and from 1e+06 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    sign, digits, exponent = _decompose(repr(value))
    if -4 <= exponent < 6:
        return sign + _positional(digits, exponent)
    return f"{sign}{_mantissa(digits)}e{exponent:+03d}"


def _json_number(shortest: str) -> str:
    sign, digits, exponent = _decompose(shortest)
    if -6 <= exponent < 21:
        return sign + _positional(digits, exponent)
    return f"{sign}{_mantissa(digits)}e{exponent:+d}"


def _decompose(text: str) -> tuple[str, str, int]:
    """Sign, significant digits without trailing zeros, and the exponent of the first of them."""
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).rstrip("0")
    if not significant:
        return "-" if sign else "", "0", 0
    return "-" if sign else "", significant, exponent + len(digits) - 1


def _positional(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def _mantissa(digits: str) -> str:
    return f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits


def _to_float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)
