from __future__ import annotations

import stat
from pathlib import Path

from server.cli.repl.history import LIMIT, LineHistory


def test_lines_are_kept_from_one_time_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / ".ollama" / "history"
    history = LineHistory(path)
    history.add("one")
    history.add("two\nlines")
    assert path.read_text() == "one\ntwo lines\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert LineHistory(path).lines == ("one", "two lines")
    assert [entry.name for entry in path.parent.iterdir()] == ["history"]


def test_only_the_last_lines_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f"{n}\n\n" for n in range(LIMIT + 20)))
    history = LineHistory(path)
    assert history.lines[0] == "20"
    history.add("x")
    assert path.read_text().split() == [*map(str, range(21, LIMIT + 20)), "x"]


def test_a_history_that_is_off_reads_but_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("old\n")
    history = LineHistory(path, enabled=False)
    history.add("secret")
    assert history.lines == ("old", "secret")
    assert path.read_text() == "old\n"
    history.enabled = True
    history.add("more")
    assert path.read_text() == "old\nsecret\nmore\n"


def test_a_history_that_cannot_be_written_is_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = LineHistory(tmp_path / "file" / "history")
    history.add("x")
    assert (history.lines, history.enabled) == (("x",), False)
