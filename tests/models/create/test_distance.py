from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.create.distance import levenshtein


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("a", "b", 1),
        ("abc", "abc", 0), ("ab" * 500, "ba" * 500, 2), ("\U0001f600", "é", 1), ("x" * 300, "y" * 300, 300),
    ],
)  # fmt: skip
def test_known_distances(a: str, b: str, distance: int) -> None:
    assert levenshtein(a, b) == levenshtein(b, a) == distance


def by_table(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[:], i
        for j, y in enumerate(b, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
    return row[-1]


@given(st.text("abc", max_size=14), st.text("abc", max_size=14))
def test_the_distance_is_that_of_the_usual_table(a: str, b: str) -> None:
    assert levenshtein(a, b) == by_table(a, b)
