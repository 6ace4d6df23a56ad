from __future__ import annotations

import io
from pathlib import Path

import pytest

from server.cli.environment import Environment
from server.cli.progress import Bar, ProgressArea, Spinner
from server.cli.terminal import Output
from server.settings import Host


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_bar_shows_percent_sizes_rate_and_remaining_time(clock: Clock) -> None:
    bar = Bar("pulling 0123456789ab:", 1_000_000_000, 0, clock)
    for _ in range(3):
        clock.now += 2
        bar.set(bar._completed + 100_000_000)
    assert bar.render(100) == (
        "pulling 0123456789ab:  30% ▕" + "█" * 11 + " " * 27 + "▏ 300 MB/  1 GB   50 MB/s     14s"
    )


def test_a_finished_bar_shows_only_the_size(clock: Clock) -> None:
    bar = Bar("pulling 0123456789ab:", 1_500_000_000, 0, clock)
    bar.set(2_000_000_000)
    assert bar.render(80) == "pulling 0123456789ab: 100% ▕" + "█" * 18 + "▏ 1.5 GB" + " " * 25


def test_a_bar_that_starts_full_is_finished(clock: Clock) -> None:
    assert Bar("x", 10, 10, clock).render(60).endswith("▏   10 B" + " " * 25)


def test_a_bar_without_a_total_shows_no_progress(clock: Clock) -> None:
    assert Bar("x", 0, 0, clock).render(60).startswith("x   0% ▕ ")


@pytest.mark.parametrize(
    ("remaining", "text"),
    [(59, "59s"), (61, "1m1s"), (3600, "1h0m"), (7500, "2h5m"), (359_999, "99h59m"), (360_000, "99h+")],
)
def test_remaining_time_has_two_units_at_most(clock: Clock, remaining: int, text: str) -> None:
    bar = Bar("x", 1000 * (remaining + 2), 0, clock)
    clock.now += 2
    bar.set(2000)
    assert bar.render(80).endswith(f"  {text:>6}")


def test_a_bar_leaves_the_last_column_free_as_long_as_it_fits(clock: Clock) -> None:
    bar = Bar("pulling 0123456789ab:", 1_000_000_000, 1, clock)
    assert len(bar.render(80)) == 79
    assert "▕▏" in bar.render(10)


def test_a_spinner_turns_until_it_is_stopped(clock: Clock) -> None:
    spinner = Spinner(" writing manifest ", clock)
    frames = []
    for _ in range(3):
        frames.append(spinner.render(80))
        clock.now += 0.1001
    assert frames == ["writing manifest ⠋ ", "writing manifest ⠙ ", "writing manifest ⠹ "]
    spinner.stop()
    assert spinner.render(80) == "writing manifest "
    assert Spinner("", clock).render(80) == "⠋ "


@pytest.fixture
def out(tmp_path: Path) -> Output:
    return Output(io.StringIO(), io.StringIO(), io.StringIO(), Environment(Host(), tmp_path))


def written_by(out: Output) -> str:
    assert isinstance(out.stderr, io.StringIO)
    return out.stderr.getvalue()


def test_the_last_drawing_stays_and_ends_with_a_newline(out: Output) -> None:
    area = ProgressArea(out)
    area.add(Spinner("one"))
    area.add(Spinner("two"))
    area.stop()
    area.stop()
    written = written_by(out)
    assert written.endswith("\x1b[?2026h\x1b[?25l\x1b[1Gone \x1b[K\ntwo \x1b[K\x1b[?25h\x1b[?2026l\n")


def test_clearing_erases_each_line(out: Output) -> None:
    area = ProgressArea(out)
    area.add(Spinner("one"))
    area.add(Spinner("two"))
    area.clear()
    written = written_by(out)
    assert written.endswith("\x1b[?2026l\x1b[?25l\x1b[2K\x1b[1G\x1b[A\x1b[2K\x1b[1G\x1b[?25h")


def test_a_second_drawing_begins_where_the_first_did(out: Output) -> None:
    area = ProgressArea(out)
    for name in "abc":
        area.add(Spinner(name))
    area._draw()
    area.stop()
    assert "\x1b[?2026h\x1b[?25l\x1b[A\x1b[A\x1b[1Ga" in written_by(out)
