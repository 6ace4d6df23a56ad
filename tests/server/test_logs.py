"""Lines of the log."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from server.logs import LineFormatter
from server.settings import TRACE


def line(text: str, *arguments: object, level: int = logging.INFO) -> str:
    record = logging.LogRecord("x", level, "/a/serving.py", 12, text, arguments, None)
    return LineFormatter().format(record)


def test_a_line_has_time_level_source_and_text() -> None:
    pattern = r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d) level=INFO source=serving\.py:12 msg="a 1"'
    assert re.fullmatch(pattern, line("a %d", 1))


@pytest.mark.parametrize(
    ("text", "value"),
    [("bare", "bare"), ("a=b", '"a=b"'), ("", '""'), ('say "hi"', r'"say \"hi\""'), ("two\nlines", r'"two\nlines"')],
)
def test_values_are_quoted_where_needed(text: str, value: str) -> None:
    assert line(text).endswith(f"msg={value}")


@pytest.mark.parametrize(
    ("level", "name"), [(logging.WARNING, "WARN"), (logging.ERROR, "ERROR"), (logging.DEBUG, "DEBUG"), (TRACE, "TRACE")]
)
def test_levels_have_the_names_of_slog(level: int, name: str) -> None:
    assert f" level={name} " in line("x", level=level)


def test_a_traceback_follows_its_line() -> None:
    try:
        raise ValueError("deep")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "a.py", 1, "failed", None, sys.exc_info())
    first, _, rest = LineFormatter().format(record).partition("\n")
    assert first.endswith("msg=failed error=deep")
    assert rest.startswith("Traceback") and rest.endswith("ValueError: deep")
