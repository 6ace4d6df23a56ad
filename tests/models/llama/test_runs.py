"""Texts cut so that no tokenizer recurses too deep."""

from __future__ import annotations

import random
import re

import pytest

from models.llama.runs import LONGEST_RUN, cut_long_runs

KINDS = {"letters": "aÜ漢e\u0301", "digits": "17", "white space": " \n\t", "punctuation": "!<|_-"}


def longest_run(text: str) -> int:
    runs = re.finditer(r"[A-Za-z\u0080-\U0010ffff]+|[0-9]+|\s+|[^\w\s]+|_+", text)
    return max((len(run[0]) for run in runs), default=0)


@pytest.mark.parametrize("characters", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("n", [1, LONGEST_RUN - 1, LONGEST_RUN, LONGEST_RUN + 1, 50_000])
@pytest.mark.parametrize("before", ["", "word, " * 1500])
def test_long_runs_are_cut(characters: str, n: int, before: str) -> None:
    text = before + "".join(random.Random(0).choices(characters, k=n)) + " and after"
    parts = cut_long_runs(text)
    assert "".join(parts) == text
    assert max(map(longest_run, parts)) <= LONGEST_RUN
    assert all(parts)


def test_ordinary_text_is_left_whole() -> None:
    text = "An ordinary sentence, with 12 numbers. " * 5000
    assert cut_long_runs(text) == [text]
    assert cut_long_runs("") == [""]


def test_a_run_that_is_not_too_long_is_left_whole() -> None:
    text = "x " * 100 + "y" * (LONGEST_RUN // 2) + " z" * 100
    assert cut_long_runs(text) == [text]
