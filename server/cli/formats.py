"""Sizes, times and widths as people read them.

# Compat: registry-store-cli 7.6 (format/bytes.go, format/time.go).
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime

_BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's time of nothing: fields without a value have it."""


def human_bytes(n: int) -> str:
    """`0 B`, `999 KB`, `1.5 GB`, `2 GB`; from ten on without decimals, always cut, in powers of 1000."""
    for size, unit in _BYTE_UNITS:
        if n >= size:
            if n >= 10 * size or n % size == 0:
                return f"{n // size} {unit}"
            return f"{n / size:.1f} {unit}"
    return f"{n} B"


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time; None for Go's zero time, which stands for "never"."""
    return None if text == ZERO_TIME else datetime.fromisoformat(text)


def human_time(moment: datetime | None, now: datetime) -> str:
    """`3 days ago`, `4 minutes from now`, `Forever`, `Never`. Both times are aware."""
    if moment is None:
        return "Never"
    seconds = (now - moment).total_seconds()
    if -seconds >= 21 * 365 * 24 * 3600:
        return "Forever"
    return f"{_human_duration(-seconds)} from now" if seconds < 0 else f"{_human_duration(seconds)} ago"


def _human_duration(seconds: float) -> str:
    minutes, hours = int(seconds / 60), math.floor(seconds / 3600 + 0.5)
    rows: tuple[tuple[bool, str], ...] = (
        (seconds < 1, "Less than a second"),
        (seconds < 2, "1 second"),
        (seconds < 60, f"{int(seconds)} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    return next((text for fits, text in rows if fits), f"{hours // 24 // 365} years")


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


def display_width(text: str) -> int:
    """How many columns a terminal gives the text: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_column_count(character) for character in text)


def _column_count(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
