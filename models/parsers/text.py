"""Whitespace as Go sees it, and how much of a text must wait because it could become a tag."""

from __future__ import annotations

from collections.abc import Iterable

SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Compat: prompting 0.2, Go's unicode.IsSpace; Python's own set has U+001C to U+001F too."""


def trim(text: str) -> str:
    """Without whitespace at both ends."""
    return text.strip(SPACES)


def ltrim(text: str) -> str:
    """Without whitespace at the beginning."""
    return text.lstrip(SPACES)


def rtrim(text: str) -> str:
    """Without whitespace at the end."""
    return text.rstrip(SPACES)


def overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` that begins `tag`, perhaps all of it."""
    start = text.find(tag[:1], max(len(text) - len(tag), 0))
    while start >= 0:
        if tag.startswith(text[start:]):
            return len(text) - start
        start = text.find(tag[:1], start + 1)
    return 0


def hold_spaces(text: str) -> tuple[str, str]:
    """What may be sent, and the whitespace at the end that waits."""
    sent = rtrim(text)
    return sent, text[len(sent) :]


def hold_tags(text: str, tags: Iterable[str]) -> tuple[str, str]:
    """What may be sent, and what waits: the beginning of a tag with the whitespace before it, else only whitespace.

    # Compat: prompting 0.7, HOLD-TAG and then HOLD-WS; cutting before a tag's beginning leaves whitespace out as well.
    """
    waiting = max(overlap(text, tag) for tag in tags)
    sent = rtrim(text[: len(text) - waiting])
    return sent, text[len(sent) :]


def hold_overlap(text: str, tags: Iterable[str]) -> tuple[str, str]:
    """What may be sent, and the beginning of a tag that waits; whitespace does not wait."""
    cut = len(text) - max(overlap(text, tag) for tag in tags)
    return text[:cut], text[cut:]


def shared_start(left: str, right: str) -> int:
    """How many characters both texts begin with."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[:middle] == right[:middle] else (low, middle - 1)
    return low
