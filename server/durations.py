"""Go's duration text, `1h2m3.5s`: read and written, in nanoseconds.

Source: Go time/format.go and time/time.go, ParseDuration and Duration.String.
"""

from __future__ import annotations

import re

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
MAX_DURATION = 2**63 - 1

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": SECOND, "m": MINUTE, "h": HOUR}
_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]*))?")
_UNIT = re.compile(r"[^0-9.]+")
_MAX_DIGITS = 64
"""Digits beyond these cannot change a sum that fits 63 bits; without a limit, a long text costs quadratic time."""


class InvalidDuration(ValueError):
    """Text that is not a duration; the message is Go's."""


def parse_duration(text: str) -> int:
    """Nanoseconds of `300ms`, `-1.5h`, `2h45m`; a bare number is refused, but `0` is not. Raises: InvalidDuration."""
    is_negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise _invalid(text)
    total = 0
    while rest:
        part_ns, rest = _parse_part(rest, text)
        total += part_ns
        if total > MAX_DURATION + is_negative:
            raise _invalid(text)
    return -total if is_negative else total


def _parse_part(rest: str, text: str) -> tuple[int, str]:
    """The value of the first number with its unit, and what follows."""
    number = _NUMBER.match(rest)
    whole, fraction = (number[1], number[2] or "") if number else ("", "")
    if not number or not whole + fraction or len(whole.lstrip("0")) > _MAX_DIGITS:
        raise _invalid(text)
    unit = _UNIT.match(rest, number.end())
    if unit is None:
        raise InvalidDuration(f"time: missing unit in duration {_quote(text)}")
    if unit[0] not in _UNITS:
        raise InvalidDuration(f"time: unknown unit {_quote(unit[0])} in duration {_quote(text)}")
    ns = int(whole or "0") * _UNITS[unit[0]] + _fraction_of(_UNITS[unit[0]], fraction)
    return ns, rest[unit.end() :]


def _fraction_of(unit_ns: int, digits: str) -> int:
    """# Compat: Go time.leadingFraction: in float64, digits that do not fit 63 bits left out."""
    value, scale = 0, 1.0
    for digit in digits[:_MAX_DIGITS]:
        longer = value * 10 + int(digit)
        if value > MAX_DURATION // 10 or longer > MAX_DURATION + 1:
            break
        value, scale = longer, scale * 10
    return int(value * (unit_ns / scale))


def _invalid(text: str) -> InvalidDuration:
    return InvalidDuration(f"time: invalid duration {_quote(text)}")


def _quote(text: str) -> str:
    """# Compat: Go time.quote, which is not strconv.Quote: every byte of a control or non-ASCII character as \\xNN."""
    escaped = []
    for character in text:
        if character in '"\\':
            escaped.append(f"\\{character}")
        elif " " <= character <= "\x7f":
            escaped.append(character)
        else:
            escaped += [f"\\x{byte:02x}" for byte in character.encode("utf-8", "replace")]
    return f'"{"".join(escaped)}"'


def format_duration(ns: int) -> str:
    """`0s`, `350.2ms`, `1.234567s`, `2m0s`, `1h0m0.5s`: the largest units that are needed, no trailing zeros."""
    sign, rest = ("-", -ns) if ns < 0 else ("", ns)
    if rest == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    text = f"{_decimal(rest, SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).zfill(len(str(unit)) - 1).rstrip('0')}"
