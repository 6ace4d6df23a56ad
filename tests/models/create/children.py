"""A child that does what its job says."""

from __future__ import annotations

import os
import sys

import msgspec

from models.create.child import Report, work
from models.create.messages import Failed, Quantized


class Act(msgspec.Struct):
    """`how` it ends: well, badly, or without a word. `said`: on stderr."""

    how: str
    said: str = ""


def perform(job: Act, report: Report) -> Quantized | Failed:
    report(1, 2)
    sys.stderr.write(job.said)
    sys.stderr.flush()
    match job.how:
        case "well":
            return Quantized()
        case "badly":
            return Failed("the reason")
        case "never":
            sys.stdin.buffer.read()
    os._exit(3)


if __name__ == "__main__":
    work(Act, perform)
