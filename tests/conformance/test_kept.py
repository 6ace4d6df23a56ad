"""The table of kept differences: what it covers, what it does not, and that every row names something recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.compare import Difference
from tests.conformance.kept import Kept, judge, parse_table, read_table

RECORDED = {
    session["session"]: [x["id"] for x in session["exchanges"]]
    for session in (json.loads(f.read_text("utf-8")) for f in sorted((Path(__file__).parent / "golden").glob("*.json")))
}
STATUS = Difference("status", 200, 400)
USAGE = Difference("event[3].data.usage.details", None, {})


@pytest.mark.parametrize(
    ("exchange", "field", "covered"),
    [
        ("load", "status", True),
        ("load", "*", True),
        ("*", "status", True),
        ("lo*", "sta*us", True),
        ("load", "stat", False),
        ("load", "body.status", False),
        ("loa", "status", False),
    ],
)
def test_a_row_covers_what_it_names_and_nothing_else(exchange: str, field: str, covered: bool) -> None:
    verdict = judge("s", {"load": [STATUS]}, [Kept("a row", "s", exchange, field)])
    assert (verdict.unexplained == {}) is covered
    assert bool(verdict.kept) is covered
    assert bool(verdict.outlived) is not covered


def test_brackets_in_a_field_are_no_pattern() -> None:
    row = Kept("a row", "s", "load", "event[3].data.usage.*")
    assert judge("s", {"load": [USAGE]}, [row]).unexplained == {}
    assert judge("s", {"load": [USAGE]}, [Kept("a row", "s", "load", "event[*].usage")]).unexplained


def test_one_difference_that_is_kept_does_not_excuse_another() -> None:
    verdict = judge("s", {"load": [STATUS, USAGE]}, [Kept("a row", "s", "load", "status")])
    assert verdict.unexplained == {"load": [USAGE]} and verdict.kept == {"load": [STATUS]}


def test_rows_of_other_sessions_mean_nothing() -> None:
    verdict = judge("s", {"load": [STATUS]}, [Kept("a row", "other", "load", "status")])
    assert verdict.unexplained == {"load": [STATUS]} and verdict.outlived == []


def test_a_row_may_name_several_places() -> None:
    rows = parse_table("| what | where | why |\n|---|---|---|\n| usage | `a / b c / d.*`, `e-1 / * / f` | because |\n")
    assert rows == (Kept("usage", "a", "b c", "d.*"), Kept("usage", "e-1", "*", "f"))


def test_every_row_of_the_page_is_read_and_names_something_recorded() -> None:
    rows = read_table()
    page = (Path(__file__).parent.parent.parent / "docs" / "differences.md").read_text("utf-8")
    table = page.split("| what | where | why |\n|---|---|---|\n")[1].split("\n\n")[0]
    assert len({row.name for row in rows}) == len(table.splitlines())
    for row in rows:
        assert "*" in row.exchange or row.exchange in RECORDED[row.session], row
