from __future__ import annotations

import math
from typing import Any

import pytest

from models.parsers.typed_values import parse_float, typed_value

VALUES: list[tuple[str, list[str], Any]] = [
    ("text", [], "text"),
    ("\n\na\n\n", ["string"], "\na\n"),
    ("NULL", ["string"], None),
    ("null", [], None),
    ("True", ["boolean"], True),
    ("yes", ["boolean"], False),
    ("yes", ["boolean", "string"], "yes"),
    ("12", ["integer"], 12),
    ("+12", ["integer"], 12),
    ("1_2", ["integer"], "1_2"),
    ("9" * 5000, ["integer"], "9" * 5000),
    (" 12", ["integer"], " 12"),
    ("1.5", ["integer", "number"], 1.5),
    ("9223372036854775808", ["integer"], "9223372036854775808"),
    ("1.0", ["number"], 1),
    ("1_000.5", ["number"], 1000.5),
    (".5", ["number"], 0.5),
    ("0x1p4", ["number"], 16),
    ("0x10", ["number"], "0x10"),
    ("one", ["number"], "one"),
    ("[1, 2]", ["array"], [1, 2]),
    ("{}", ["array"], "{}"),
    ('{"a": 1}', ["object"], {"a": 1}),
    ("[1", ["array", "string"], "[1"),
    ("1", ["string", "integer"], 1),
    ("[1e999]", ["array"], "[1e999]"),
]


@pytest.mark.parametrize(("text", "types", "value"), VALUES)
def test_a_text_becomes_the_first_type_it_fits(text: str, types: list[str], value: Any) -> None:
    found = typed_value(text, types)
    assert found == value and type(found) is type(value)


def test_newlines_stay_where_they_are_told_to() -> None:
    assert typed_value("\na\n", [], trims_newlines=False) == "\na\n"


@pytest.mark.parametrize("text", ["", "-", ".", "1e", "1__0", "_1", "1_", "0x1", "1e400", "nano", "e5", ".e5"])
def test_what_go_does_not_read_as_a_float_is_none(text: str) -> None:
    assert parse_float(text) is None


def test_words_for_no_number_are_floats() -> None:
    value = parse_float("NaN")
    assert value is not None and math.isnan(value)
    assert parse_float("-Infinity") == -math.inf
