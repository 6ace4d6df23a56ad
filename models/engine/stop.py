"""Stop strings, found in text that has not been sent yet. Compat: prompting 9.1, llama.cpp's server, in bytes."""

from __future__ import annotations

from collections.abc import Sequence


def find_stop(text: bytes, n_last: int, stops: Sequence[bytes]) -> int | None:
    """Where the earliest stop string begins; None: nowhere.

    Each one is looked for from `n_last` bytes (the last token's) and its own length before the end: what lies further
    back was looked at when it came.
    """
    found = None
    for stop in stops:
        at = text.find(stop, max(0, len(text) - len(stop) - n_last))
        if at >= 0 and (found is None or at < found):
            found = at
    return found


def may_become_stop(text: bytes, stops: Sequence[bytes]) -> bool:
    """Whether the text ends with the beginning of a stop string."""
    return any(text.endswith(stop[:length]) for stop in stops for length in range(min(len(stop), len(text)), 0, -1))
