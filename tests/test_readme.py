"""The README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from tools.settings_table import README, with_table

ROOT = Path(__file__).parent.parent


def test_the_table_of_settings_is_current() -> None:
    text = README.read_text("utf-8")
    assert with_table(text) == text, "run python -m tools.settings_table"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"^(?:`|\| `|sudo )?make(?: -C \S+)? ([a-z-]+)", README.read_text("utf-8"), re.MULTILINE))
    assert named and named <= targets


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:server|models|registry|tests|bench|tools|docs)/[\w./]*)`", README.read_text("utf-8")))
    linked = set(re.findall(r"\]\(([\w./]+)\)", README.read_text("utf-8")))
    made = {"bench/results/"}
    assert [name for name in sorted((named | linked) - made) if not (ROOT / name).exists()] == []
