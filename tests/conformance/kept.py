"""The recorded differences that stay, read from the one table of docs/differences.md: none goes without a reason.

A row names what differs, where, and why. Where is one or several `session / exchange / field`; exchange and field may
hold `*`, which stands for any text. The field is what the replay prints before the colon: `status`, `headers.vary`,
`body.usage.total_tokens`, `event[3].data.type`, `line count`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.compare import Difference

TABLE = Path(__file__).parent.parent.parent / "docs" / "differences.md"
_ROW = re.compile(r"^\| (?P<name>[^|]+?) +\| (?P<where>(?:`[^`|]+`(?:, )?)+) +\| (?P<why>[^|]+?) +\|$", re.MULTILINE)
_WHERE = re.compile(r"`(\S+) / ([^`]+?) / ([^`]+)`")


@dataclass(frozen=True)
class Kept:
    """One place of one row."""

    name: str
    session: str
    exchange: str
    field: str

    def __str__(self) -> str:
        return f"{self.name} ({self.session} / {self.exchange} / {self.field})"

    def covers(self, exchange: str, difference: Difference) -> bool:
        return _fits(self.exchange, exchange) and _fits(self.field, difference.where)


def parse_table(text: str) -> tuple[Kept, ...]:
    return tuple(Kept(row["name"], *where) for row in _ROW.finditer(text) for where in _WHERE.findall(row["where"]))


def read_table() -> tuple[Kept, ...]:
    return parse_table(TABLE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Verdict:
    """What a session's differences come to: those that nobody explains, and rows that explain nothing any more."""

    unexplained: dict[str, list[Difference]]
    kept: dict[str, list[Difference]]
    outlived: list[Kept]


def judge(session: str, found: Mapping[str, Sequence[Difference]], table: Iterable[Kept]) -> Verdict:
    """`found` has the differences of every exchange that was replayed."""
    rows = [row for row in table if row.session == session]
    covered = {x: [d for d in ds if any(r.covers(x, d) for r in rows)] for x, ds in found.items()}
    return Verdict(
        unexplained={x: rest for x, ds in found.items() if (rest := [d for d in ds if d not in covered[x]])},
        kept={x: ds for x, ds in covered.items() if ds},
        outlived=[r for r in rows if not any(r.covers(x, d) for x, ds in found.items() for d in ds)],
    )


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
