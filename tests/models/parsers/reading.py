"""A reply read by a built-in parser, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.parsers.steps import StepParser


@dataclass(frozen=True)
class Read:
    content: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def read(parser: StepParser, runs: Sequence[str]) -> Read:
    """All that the runs bring, the last one being marked as such; calls must be numbered."""
    steps = [parser.add(text, i == len(runs) - 1) for i, text in enumerate(runs)]
    calls = [call for step in steps for call in step.calls]
    assert [call.index for call in calls] == list(range(len(calls)))
    return Read(
        "".join(step.content for step in steps),
        "".join(step.thinking for step in steps),
        tuple((call.name, call.arguments) for call in calls),
    )
