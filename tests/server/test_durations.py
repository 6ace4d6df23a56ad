"""Go's duration text, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.durations import HOUR, MAX_DURATION, MINUTE, SECOND, InvalidDuration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("-0", 0),
        ("5m", 5 * MINUTE),
        ("1h15m30.918273645s", HOUR + 15 * MINUTE + 30_918_273_645),
        ("1.5h", 90 * MINUTE),
        ("-1.5s", -1_500_000_000),
        ("+5s", 5 * SECOND),
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("300ms", 300_000_000),
        ("7us", 7000),
        ("7µs", 7000),
        ("7μs", 7000),
        ("3ns", 3),
        ("0.3333333333333333333h", 20 * MINUTE),
        ("9223372036854775807ns", MAX_DURATION),
        ("-9223372036854775808ns", -(2**63)),
    ],
)
def test_durations_are_read(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("10", 'time: missing unit in duration "10"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1 s", 'time: unknown unit " s" in duration "1 s"'),
        ("1x\n", 'time: unknown unit "x\\x0a" in duration "1x\\x0a"'),
        ('1"', 'time: unknown unit "\\"" in duration "1\\""'),
        ("1é", 'time: unknown unit "\\xc3\\xa9" in duration "1\\xc3\\xa9"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
    ],
)
def test_bad_durations_are_told_in_the_words_of_go(text: str, message: str) -> None:
    with pytest.raises(InvalidDuration) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (5 * MINUTE + 5_001_000_000, "5m5.001s"),
        (HOUR, "1h0m0s"),
        (-90 * SECOND, "-1m30s"),
        (999_999_999, "999.999999ms"),
    ],
)
def test_durations_are_written(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@given(st.integers(-(2**63), MAX_DURATION))
def test_what_is_written_is_read_again(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns
