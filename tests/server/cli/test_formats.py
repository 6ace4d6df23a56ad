from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.cli.formats import display_width, human_bytes, human_time, parse_time

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1500, "1.5 KB"),
        (9999, "10.0 KB"),
        (10_000, "10 KB"),
        (999_999, "999 KB"),
        (1_000_000, "1 MB"),
        (1_500_000_000, "1.5 GB"),
        (1_970_000_000, "2.0 GB"),
        (2_000_000_000, "2 GB"),
        (2_019_393_189, "2.0 GB"),
        (19_990_000_000, "19 GB"),
        (999_999_999_999, "999 GB"),
        (1_100_000_000_000, "1.1 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_bytes_are_cut_to_what_a_person_reads(n: int, text: str) -> None:
    assert human_bytes(n) == text


SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86400.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "Less than a second"),
        (0.999, "Less than a second"),
        (1.5, "1 second"),
        (2 * SECOND, "2 seconds"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (119 * SECOND, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59.99 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (1.49 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (24 * HOUR, "24 hours"),
        (47.4 * HOUR, "47 hours"),
        (47.5 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_times_are_told_in_one_unit(seconds: float, text: str) -> None:
    distance = timedelta(seconds=seconds)
    assert human_time(NOW - distance, NOW) == f"{text} ago"
    if seconds:
        assert human_time(NOW + distance, NOW) == f"{text} from now"


def test_the_far_future_is_forever_and_the_zero_time_never() -> None:
    assert human_time(NOW + timedelta(days=20 * 365), NOW) == "20 years from now"
    assert human_time(NOW + timedelta(days=21 * 365), NOW) == "Forever"
    assert human_time(parse_time("2318-12-02T01:02:03.123456789+02:00"), NOW) == "Forever"
    assert human_time(parse_time("0001-01-01T00:00:00Z"), NOW) == "Never"


@pytest.mark.parametrize(
    "text", ["2026-08-21T12:00:00Z", "2026-08-21T14:00:00.0000001+02:00", "2026-08-21T12:00:00.000000001Z"]
)
def test_times_have_up_to_nine_decimals(text: str) -> None:
    assert parse_time(text) == NOW


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("a\u200db", 2)])
def test_width_counts_columns(text: str, columns: int) -> None:
    assert display_width(text) == columns
