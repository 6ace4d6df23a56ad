from __future__ import annotations

import pytest

from server.cli.tables import render_table

LIST = ("NAME", "ID", "SIZE", "MODIFIED")


def lines(text: str) -> list[str]:
    assert text.endswith("\n")
    return [f"{line}$" for line in text[:-1].split("\n")]


def test_rows_end_with_four_spaces_and_the_header_with_one() -> None:
    rows = [
        ("gpt-oss:120b-cloud", "569662207105", "-", "3 days ago"),
        ("llama3.2:latest", "a80c4f17acd5", "2.0 GB", "2 hours ago"),
    ]
    assert lines(render_table(rows, header=LIST)) == [
        "NAME                  ID              SIZE      MODIFIED    $",
        "gpt-oss:120b-cloud    569662207105    -         3 days ago     $",
        "llama3.2:latest       a80c4f17acd5    2.0 GB    2 hours ago    $",
    ]


def test_an_empty_table_is_its_header() -> None:
    assert lines(render_table([], header=LIST)) == ["NAME    ID    SIZE    MODIFIED $"]
    assert render_table([]) == ""


def test_wide_characters_count_double() -> None:
    assert lines(render_table([("日本", "x"), ("abcde", "y")])) == ["日本     x    $", "abcde    y    $"]


def test_a_long_cell_goes_on_in_the_next_line_where_the_empty_first_column_is_two_wide() -> None:
    words = "one two three four five six seven eight nine ten"
    assert lines(render_table([("", "title", words)])) == [
        "    title    one two three four five six    $",
        "               seven eight nine ten           $",
    ]


@pytest.mark.parametrize(
    ("cell", "limit", "expected"),
    [
        ("a b c", 30, ["a b c"]),
        ("aaaa bb cc ddddd", 6, ["aaaa", "bb cc", "ddddd"]),  # as even as possible, not as full as possible
        ("aaa bb cc ddddd", 6, ["aaa", "bb cc", "ddddd"]),
        ("aaa bb cccc dd e", 6, ["aaa bb", "cccc", "dd e"]),
        ("abcdefghij kl", 4, ["abcdefghij", "kl"]),  # the longest word moves the limit
        ("abcdefghij", 4, ["abcdefghij"]),
        ("two  spaces", 4, ["two ", "spaces"]),
        ("two\nlines", 30, ["two", "lines"]),  # a cell is wrapped at the width of its widest line
    ],
)
def test_cells_wrap_between_words(cell: str, limit: int, expected: list[str]) -> None:
    assert [line[:-4].rstrip() for line in render_table([(cell,)], wrap_at=limit).split("\n")[:-1]] == [
        line.rstrip() for line in expected
    ]
