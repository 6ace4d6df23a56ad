from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.credentials import Credentials, find_credentials

AUTH = {"auth": "dXNlcjpwYTpzcw=="}
FOUND = Credentials("user", "pa:ss")


@pytest.mark.parametrize(
    ("auths", "host", "expected"),
    [
        ({"h:5000": AUTH}, "h:5000", FOUND),
        ({"H:5000": AUTH}, "h:5000", FOUND),
        ({"https://h/v1/": AUTH}, "h", FOUND),
        ({"h/v2": AUTH}, "h", FOUND),
        ({"h": {"username": "u", "password": "p"}}, "h", Credentials("u", "p")),
        ({"h:5000": AUTH}, "h", None),
        ({"h": AUTH}, "h:5000", None),
        ({"other.h": AUTH}, "h", None),
        ({"h": {}}, "h", None),
        ({"h": {"auth": "%%%"}}, "h", None),
        ({"h": {"auth": "/w=="}}, "h", None),
        ({"h": {"auth": 1, "username": 2}}, "h", None),
        ({"h": "text"}, "h", None),
        ({}, "h", None),
        ([], "h", None),
        (None, "h", None),
    ],
)
def test_the_entry_of_exactly_this_host_counts(
    auths: Any, host: str, expected: Credentials | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": auths}))
    assert find_credentials(config, host) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000])
def test_a_file_that_cannot_be_read_has_no_entries(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(text)
    assert find_credentials(config, "h") is None
    assert find_credentials(tmp_path / "none", "h") is None
    assert find_credentials(tmp_path, "h") is None


def test_passwords_are_not_printed() -> None:
    assert "pa:ss" not in repr(FOUND)
    assert FOUND.basic == "Basic dXNlcjpwYTpzcw=="
