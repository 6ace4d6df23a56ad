"""The moving lines on standard error: bars for transfers, spinners for everything else.

# Compat: registry-store-cli 7.8 (progress/progress.go, bar.go, spinner.go): drawn every 100 ms, also into a pipe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from server.cli.formats import display_width, human_bytes
from server.cli.terminal import Output
from server.durations import HOUR, MINUTE, SECOND, format_duration

Clock = Callable[[], float]

INTERVAL_S = 0.1
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_N_SAMPLES = 10


class Line(Protocol):
    """One line of the area."""

    def render(self, columns: int) -> str: ...


class Spinner:
    """A message with a turning mark, until it is stopped."""

    def __init__(self, message: str, clock: Clock = time.monotonic) -> None:
        self.message = message
        self._clock = clock
        self._started = clock()
        self._turns = True

    def stop(self) -> None:
        self._turns = False

    def render(self, columns: int) -> str:
        message = self.message.strip()
        text = f"{message} " if message else ""
        if not self._turns:
            return text
        return f"{text}{_FRAMES[int((self._clock() - self._started) / INTERVAL_S) % len(_FRAMES)]} "


class Bar:
    """How far a transfer is, how fast it goes, and how long it will take. Sizes in bytes."""

    def __init__(self, message: str, total: int, completed: int, clock: Clock = time.monotonic) -> None:
        self._message = message
        self._total = total
        self._first = self._completed = completed
        self._clock = clock
        self._started = clock()
        self._finished = completed >= total
        self._samples: tuple[tuple[float, int], ...] = ()

    def set(self, completed: int) -> None:
        """Note how many bytes have arrived; more than the total counts as the total."""
        self._completed = min(completed, self._total)
        self._finished = self._finished or self._completed >= self._total
        now = self._clock()
        if not self._samples or now - self._samples[-1][0] > 1:
            self._samples = (*self._samples, (now, self._completed))[-_N_SAMPLES:]

    def render(self, columns: int) -> str:
        before = f"{self._message.strip()} {self._percent():3.0f}%"
        after = self._sizes() + self._speed()
        room = columns - display_width(before) - len(after) - 5
        filled = int(room * self._percent() / 100)
        bar = "█" * filled + " " * (room - max(filled, 0))
        return f"{before} ▕{bar}▏ {after}"

    def _percent(self) -> float:
        return self._completed / self._total * 100 if self._total > 0 else 0.0

    def _sizes(self) -> str:
        if self._finished:
            return f"{human_bytes(self._total):>6}" + " " * 7
        return f"{human_bytes(self._completed):>6}/{human_bytes(self._total):>6}"

    def _speed(self) -> str:
        rate = 0.0 if self._finished else self._rate()
        if rate <= 0:
            return " " * 18
        remaining = int((self._total - self._completed) / rate)
        return f"  {human_bytes(int(rate)):>6}/s  {_format_remaining(remaining * SECOND):>6}"

    def _rate(self) -> float:
        """Bytes per second over the last samples, which are a second or more apart."""
        match self._samples:
            case ():
                return 0.0
            case (only,):
                since, start, (until, end) = self._started, self._first, only
            case (first, *_, last):
                (since, start), (until, end) = first, last
        seconds = int(until - since + 0.5)
        return (end - start) / seconds if seconds else 0.0


def _format_remaining(ns: int) -> str:
    """At most two units."""
    if ns >= 100 * HOUR:
        return "99h+"
    if ns >= HOUR:
        return f"{ns // HOUR}h{ns % HOUR // MINUTE}m"
    return format_duration(ns)


class ProgressArea:
    """The lines at the bottom of the screen, redrawn by a thread of its own until `stop` or `clear`."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._lines: list[Line] = []
        self._n_drawn = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="progress", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        with self._lock:
            self._lines.append(line)

    def stop(self) -> None:
        """Draw the lines a last time and leave them on the screen."""
        if self._end():
            self._out.complain("\n")

    def clear(self) -> None:
        """Remove the lines from the screen."""
        if self._end():
            erase = "\x1b[A".join(["\x1b[2K\x1b[1G"] * self._n_drawn)
            self._out.complain(f"\x1b[?25l{erase}\x1b[?25h")

    def _end(self) -> bool:
        """Stop drawing; False when that was done before."""
        if self._ended.is_set():
            return False
        self._ended.set()
        self._thread.join()
        for line in self._lines:
            if isinstance(line, Spinner):
                line.stop()
        self._draw()
        return True

    def _keep_drawing(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._draw()

    def _draw(self) -> None:
        columns, rows = self._out.size(self._out.stderr)
        with self._lock:
            shown = self._lines[-rows:]
        back = "\x1b[A" * (self._n_drawn - 1)
        text = "\n".join(f"{line.render(columns)}\x1b[K" for line in shown)
        self._out.complain(f"\x1b[?2026h\x1b[?25l{back}\x1b[1G{text}\x1b[?25h\x1b[?2026l")
        self._n_drawn = len(shown)


@contextmanager
def progress(out: Output) -> Iterator[ProgressArea]:
    """An area whose lines stay on the screen afterwards, also when the command fails."""
    area = ProgressArea(out)
    try:
        yield area
    finally:
        area.stop()


@contextmanager
def spinner_until(out: Output) -> Iterator[ProgressArea]:
    """A spinner without words, gone from the screen when the block ends or calls `clear`."""
    area = ProgressArea(out)
    area.add(Spinner(""))
    try:
        yield area
    finally:
        area.clear()
