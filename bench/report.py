"""From the rounds to medians and ratios, the table that is printed and the file that is kept."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.cases import Against, Case, Measure
from bench.startup import GOAL_MB, GOAL_S, Startup


@dataclass(frozen=True)
class Round:
    """One server, one round of a case. Times in seconds since the requests were sent."""

    server: str
    duration_s: float
    tokens_per_s: float
    first_token_s: float  # median over the streams (in a chat: over the turns after the first)
    worst_gap_s: float = 0.0
    beyond_mb: float = 0.0

    def value(self, measure: Measure) -> float:
        match measure:
            case Measure.TOKENS_PER_S:
                return self.tokens_per_s
            case Measure.DURATION:
                return self.duration_s
            case Measure.FIRST_TOKEN:
                return self.first_token_s
            case Measure.WORST_GAP:
                return self.worst_gap_s
            case Measure.MEMORY:
                return self.beyond_mb


@dataclass(frozen=True)
class Verdict:
    """A case summed up. `ratio` is the median of the ratios of neighbouring rounds, above 1 where Puna is better."""

    case: Case
    puna: float
    peer: float
    ratio: float
    first_token_ms: tuple[float, float]

    @property
    def is_reached(self) -> bool:
        ratio_is = self.case.goal is None or self.ratio >= self.case.goal
        return ratio_is and (self.case.most is None or self.puna <= self.case.most)

    @property
    def goal(self) -> str:
        if self.case.most is not None:
            return f"<= {self.case.most:g} {self.case.measure.value}"
        return "" if self.case.goal is None else f">= {self.case.goal} x"


def judge(case: Case, pairs: Sequence[tuple[Round, Round]]) -> Verdict:
    """`pairs`: Puna's round and the peer's next to it in time, so that a drift of the machine hits both."""
    values = [(a.value(case.measure), b.value(case.measure)) for a, b in pairs]
    ratios = [_ratio(a, b) if case.measure.more_is_better else _ratio(b, a) for a, b in values]
    firsts = [(a.first_token_s * 1e3, b.first_token_s * 1e3) for a, b in pairs]
    return Verdict(
        case,
        puna=statistics.median(a for a, _ in values),
        peer=statistics.median(b for _, b in values),
        ratio=statistics.median(ratios),
        first_token_ms=(statistics.median(a for a, _ in firsts), statistics.median(b for _, b in firsts)),
    )


def _ratio(a: float, b: float) -> float:
    """A gap may be none at all; two of them are equal."""
    if b == 0:
        return 1.0 if a == 0 else math.inf
    return a / b


def table(verdicts: Sequence[Verdict]) -> str:
    rows = [("case", "puna", "llama-server", "", "ratio", "goal", "first token, ms", "")]
    for v in verdicts:
        peer = f"{v.peer:.4g}" + (" (puna)" if v.case.against is Against.FREE_TEXT else "")
        firsts = "{:.0f} / {:.0f}".format(*v.first_token_ms)
        mark = "ok" if v.is_reached else "MISSED"
        unit = v.case.measure.value
        rows.append((v.case.name, f"{v.puna:.4g}", peer, unit, f"{v.ratio:.2f}", v.goal, firsts, mark))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def startup_line(startup: Startup) -> str:
    return (
        f"start to first answer: {startup.first_answer_s:.2f} s (goal: under {GOAL_S} s); "
        f"idle: {startup.idle_mb:.0f} MB resident (goal: under {GOAL_MB:.0f} MB)"
    )


def keep(
    folder: Path,
    measured: Mapping[str, object],
    verdicts: Sequence[Verdict],
    rounds: Mapping[str, Sequence[tuple[Round, Round]]],
    startup: Startup | None,
) -> Path:
    """Write everything down and return the path; `measured` says what was measured, and where."""
    record = {
        **measured,
        "startup": startup and asdict(startup),
        "cases": [
            {
                "name": v.case.name,
                "asked": asked(v.case),
                "unit": v.case.measure.value,
                "puna": v.puna,
                "against": v.case.against.value,
                "other": v.peer,
                "ratio": v.ratio if math.isfinite(v.ratio) else None,
                "goal": v.goal,
                "is_reached": v.is_reached,
                "rounds": [asdict(r) for pair in rounds[v.case.name] for r in pair],
            }
            for v in verdicts
        ],
    }
    return write(folder, record)


def write(folder: Path, record: Mapping[str, object]) -> Path:
    """Keep a record as <date>.json in the folder of the results; returns the path."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(), **record}, indent=1) + "\n", encoding="utf-8")
    return path


def asked(case: Case) -> dict[str, object]:
    """A case may be another one later."""
    return {
        "model": case.shape.file_name,
        "streams": case.n_streams,
        "prompt_tokens": case.n_prompt,
        "predicted_tokens": case.n_predict,
        "loading": asdict(case.loading),
    }
