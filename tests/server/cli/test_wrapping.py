from __future__ import annotations

import re

import pytest

from server.cli.wrapping import WordWrapper

BACK = re.compile(r"\x1b\[(\d+)D\x1b\[K\n|\x1b\[K\n")


def screen(written: str) -> list[str]:
    """The lines that a terminal shows after control sequences have moved words."""
    rows = [""]
    for part in re.split(r"(\x1b\[\d+D|\x1b\[K|\n)", written):
        if match := re.fullmatch(r"\x1b\[(\d+)D", part):
            rows[-1] = rows[-1][: len(rows[-1]) - int(match[1])]
        elif part == "\n":
            rows.append("")
        elif part != "\x1b[K":
            rows[-1] += part
    return rows


def test_a_word_that_crosses_the_margin_is_taken_back_to_the_next_line() -> None:
    assert WordWrapper(20).feed("one two three four") == "one two three f\x1b[1D\x1b[K\nfour"


def test_a_space_at_the_margin_takes_nothing_back() -> None:
    assert WordWrapper(20).feed("one two three  four") == "one two three  \x1b[K\nfour"


@pytest.mark.parametrize("columns", [15, 20, 40, 80])
def test_lines_stay_within_the_margin_and_no_word_is_lost(columns: int) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 8
    rows = screen(WordWrapper(columns).feed(text))
    assert max(map(len, rows)) <= columns - 5
    assert " ".join(" ".join(rows).split()) == " ".join(text.split())


def test_a_text_may_arrive_in_any_pieces() -> None:
    text = "The quick brown\nfox jumps\tover the lazy dog, 日本語 and a_very_long_word_that_fits_no_line_at_all.\n\nEnd"
    whole = WordWrapper(30).feed(text)
    for size in (1, 2, 3, 7):
        wrapper = WordWrapper(30)
        assert "".join(wrapper.feed(text[i : i + size]) for i in range(0, len(text), size)) == whole


def test_a_word_longer_than_a_line_is_written_once() -> None:
    word = "x" * 100
    assert BACK.sub("", WordWrapper(30).feed(word)) == word


def test_line_breaks_start_the_count_anew() -> None:
    assert WordWrapper(20).feed("one two three\nfour five six") == "one two three\nfour five six"


def test_a_screen_too_narrow_for_words_is_left_alone() -> None:
    text = "one two three four five"
    assert WordWrapper(9).feed(text) == text


def test_wide_characters_are_never_taken_back() -> None:
    assert WordWrapper(15).feed("日本語日本語") == "日本語日本\x1b[K\n語"
