"""Texts cut between special tokens, so that finding them takes time in proportion to the text.

llama.cpp splits a text at every special token (`<|im_end|>` …) and keeps the fragments in a linked list, which it walks
from its beginning for each token that it finds: a few megabytes of nothing but special tokens take it many minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SPECIALS_PER_PART = 1000
_SPACE = r"[\t-\r ]*"


def special_pattern(specials: Iterable[tuple[str, bool]]) -> re.Pattern[str] | None:
    """What finds these tokens, of several at one place the longest, as llama.cpp does; None for no tokens.

    With each token goes whether it swallows the white space behind it, which then belongs to what is found.
    """
    longest_first = sorted(((text, strips) for text, strips in specials if text), key=lambda s: len(s[0]), reverse=True)
    alternatives = [re.escape(text) + (_SPACE if strips else "") for text, strips in longest_first]
    return re.compile("|".join(alternatives)) if alternatives else None


def cut_after_specials(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The text in parts that have the tokens of the whole, each with SPECIALS_PER_PART special ones at most.

    A cut stands behind a special token, where any tokenizer begins anew.
    """
    ends = [match.end() for match in pattern.finditer(text)]
    cuts = [0, *(end for end in ends[SPECIALS_PER_PART - 1 :: SPECIALS_PER_PART] if end < len(text))]
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]
