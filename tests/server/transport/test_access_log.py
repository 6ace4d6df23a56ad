"""The line for each request."""

from __future__ import annotations

import time
from typing import Any

import pytest

from server.transport.access_log import format_line

NOON = time.strptime("2026-08-21 12:00:00", "%Y-%m-%d %H:%M:%S")


def scope(method: str = "GET", path: str = "/api/tags", query: bytes = b"") -> dict[str, Any]:
    return {"method": method, "path": path, "query_string": query, "client": ("127.0.0.1", 5)}


def test_the_line_is_that_of_gin() -> None:
    line = format_line(scope(), 200, 1_200_000, NOON)
    assert line == '[GIN] 2026/08/21 - 12:00:00 | 200 |         1.2ms |       127.0.0.1 | GET      "/api/tags"\n'


@pytest.mark.parametrize(
    ("path", "query", "shown"),
    [
        ("/", b"a=1", '"/?a=1"'),
        ('/"', b"", r'"/\""'),
        ("/a\n[GIN] forged", b"", r'"/a\n[GIN] forged"'),
        ("/é", b"", '"/é"'),
    ],
)
def test_a_path_stays_on_its_line(path: str, query: bytes, shown: str) -> None:
    assert format_line(scope(path=path, query=query), 200, 1, NOON).endswith(f"| GET      {shown}\n")


def test_long_times_are_told_in_seconds() -> None:
    assert "|         1m30s |" in format_line(scope(), 200, 90_123_456_789, NOON)


def test_a_client_without_address_leaves_its_column_empty() -> None:
    assert "|                 | GET" in format_line(scope() | {"client": None}, 200, 1, NOON)
