"""Stop strings in text that has not been sent."""

from __future__ import annotations

import pytest

from models.engine.stop import find_stop, may_become_stop


@pytest.mark.parametrize(
    ("text", "n_last", "stops", "at"),
    [
        (b"alpha END beta", 14, [b"END"], 6),
        (b"alpha END beta", 4, [b"END"], None),  # looked for when it came
        (b"alpha END", 1, [b"END"], 6),
        (b"one two", 7, [b"two", b"one"], 0),  # the earliest, not the first in the list
        (b"one two", 7, [b"three"], None),
        (b"abab", 4, [b"bab", b"ab"], 0),
        (b"word", 4, [b""], 0),  # an empty string is found where the last token begins
        (b"a word", 4, [b""], 2),
        (b"", 0, [b"x"], None),
    ],
)
def test_the_earliest_stop_string_in_reach_is_found(
    text: bytes, n_last: int, stops: list[bytes], at: int | None
) -> None:
    assert find_stop(text, n_last, stops) == at


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        (b"some E", [b"END"], True),
        (b"some EN", [b"END"], True),
        (b"some ENX", [b"END"], False),
        (b"some", [b"END", b"e!"], True),
        (b"ababa", [b"abac"], True),
        (b"", [b"END"], False),
        (b"some", [b""], False),
    ],
)
def test_a_beginning_of_a_stop_string_at_the_end_is_noticed(text: bytes, stops: list[bytes], expected: bool) -> None:
    assert may_become_stop(text, stops) is expected
