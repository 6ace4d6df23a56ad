"""Texts cut between special tokens."""

from __future__ import annotations

import re

import pytest

from models.llama.specials import SPECIALS_PER_PART, cut_after_specials, special_pattern

N = SPECIALS_PER_PART


@pytest.fixture
def pattern() -> re.Pattern[str]:
    found = special_pattern([("<s>", False), ("<s>x", False), ("</s>", True)])
    assert found is not None
    return found


@pytest.mark.parametrize("turn", ["<s>", "<s> user says hello</s>", "<s>\n", "<s>x<s>", "</s> \n"])
@pytest.mark.parametrize("n", [1, N - 1, N, N + 1, 10 * N])
def test_parts_make_up_the_text_and_hold_few_special_tokens(turn: str, n: int, pattern: re.Pattern[str]) -> None:
    text = "before" + turn * n + "after"
    parts = cut_after_specials(text, pattern)
    assert "".join(parts) == text
    assert all(re.search(r"(<s>x?|</s>\s*)$", part) for part in parts[:-1])
    assert max(len(pattern.findall(part)) for part in parts) <= N


def test_a_token_keeps_the_white_space_that_it_swallows_and_only_that(pattern: re.Pattern[str]) -> None:
    assert [part[:1] for part in cut_after_specials("</s> \n" * 2 * N, pattern)] == ["<", "<"]
    assert [part[:1] for part in cut_after_specials("<s> \n" * 2 * N, pattern)] == ["<", " ", " "]


def test_the_longest_of_several_tokens_is_not_cut(pattern: re.Pattern[str]) -> None:
    assert [part[:4] for part in cut_after_specials("<s>x" * (N + 1), pattern)] == ["<s>x", "<s>x"]


def test_a_text_without_special_tokens_is_left_whole(pattern: re.Pattern[str]) -> None:
    assert cut_after_specials("plain text " * 10_000, pattern) == ["plain text " * 10_000]
    assert cut_after_specials("", pattern) == [""]


def test_a_vocabulary_without_special_tokens_has_nothing_to_look_for() -> None:
    assert special_pattern([("", False), ("", True)]) is None
