"""What `--verbose` prints under a reply."""

from __future__ import annotations

from server.cli.transport import Json
from server.durations import format_duration


def format_statistics(last: Json) -> str:
    """Durations, counts and rates of a reply's last object; what is zero or missing is left out.

    # Compat: registry-store-cli 7.9 (api/types.go Metrics.Summary).
    """
    rows = [
        ("total duration", _duration(last, "total_duration")),
        ("load duration", _duration(last, "load_duration")),
        ("prompt eval count", _count(last, "prompt_eval_count")),
        ("prompt eval duration", _duration(last, "prompt_eval_duration")),
        ("prompt eval rate", _rate(last, "prompt_eval_count", "prompt_eval_duration")),
        ("eval count", _count(last, "eval_count")),
        ("eval duration", _duration(last, "eval_duration")),
        ("eval rate", _rate(last, "eval_count", "eval_duration")),
        *_cuts(last),
    ]
    return "".join(f"{title + ':':<22}{value}\n" for title, value in rows if value)


def _cuts(last: Json) -> list[tuple[str, str]]:
    """What the context had no room for."""
    n_dropped = int(last.get("dropped_messages_count") or 0)
    return [
        ("prompt before cut", _count(last, "prompt_original_count")),
        ("messages dropped", f"{n_dropped} message(s)" if n_dropped > 0 else ""),
        ("shifted out", _count(last, "shifted_count")),
        ("ended by", "the full context" if last.get("done_detail") == "context" else ""),
    ]


def _duration(last: Json, key: str) -> str:
    ns = int(last.get(key) or 0)
    return format_duration(ns) if ns > 0 else ""


def _count(last: Json, key: str) -> str:
    n = int(last.get(key) or 0)
    return f"{n} token(s)" if n > 0 else ""


def _rate(last: Json, count: str, duration: str) -> str:
    n, ns = int(last.get(count) or 0), int(last.get(duration) or 0)
    return f"{n / (ns / 1e9):.2f} tokens/s" if ns > 0 else ""
