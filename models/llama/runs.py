"""Texts cut so that no tokenizer recurses too deep.

Many vocabularies split text with std::regex, which recurses once per character of a match and so overflows the stack on
100,000 letters in a row. Matches do not cross from one kind of character to another for long, so only long runs of one
kind have to be cut; a token or two at the cut may differ from those of the whole.
"""

from __future__ import annotations

import re

LONGEST_RUN = 8192
_STEP = LONGEST_RUN // 2
_RUN = re.compile(r"[A-Za-z\u0080-\U0010ffff]+|[0-9]+|[\x09-\x0d ]+|[^A-Za-z0-9\u0080-\U0010ffff\x09-\x0d ]+")


def cut_long_runs(text: str) -> list[str]:
    """The text in parts within which no run of one kind of character is longer than LONGEST_RUN."""
    cuts = [0]
    at = _STEP
    while at < len(text):
        run = _RUN.match(text, at)
        end = run.end() if run else at  # only the rest of the run it stands in: quick in ordinary text
        while at + _STEP <= end:
            cuts.append(at)
            at += _STEP
        at += _STEP
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]
