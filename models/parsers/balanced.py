"""Where JSON ends, judged by its brackets alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def balanced_end(text: str) -> int | None:
    """Length of the text up to the bracket that closes the first one; None if it is not closed yet."""
    depth = 0
    for found in _MARKS.finditer(text):
        if found[0] in ("{", "["):
            depth += 1
        elif found[0] in ("}", "]"):
            depth -= 1
            if depth == 0:
                return found.end()
    return None


def objects_in(text: str) -> Iterator[str]:
    """Every `{…}` that stands in no other one."""
    depth = start = 0
    for found in _MARKS.finditer(text):
        if found[0] == "{":
            start = start if depth else found.start()
            depth += 1
        elif found[0] == "}" and depth:
            depth -= 1
            if depth == 0:
                yield text[start : found.end()]
