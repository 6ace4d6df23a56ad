"""How fast Puna answers after its process starts, and what it occupies while nobody uses it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.server_process import puna_server

GOAL_S = 0.8
GOAL_MB = 120.0
SETTLE_S = 3.0  # a server may go on importing after its first answer


@dataclass(frozen=True)
class Startup:
    """Medians over the rounds. The memory is the resident set of the server and its children, if any."""

    first_answer_s: float
    idle_mb: float


def measure_startup(folder: Path, n_rounds: int) -> Startup:
    seconds, megabytes = [], []
    for number in range(n_rounds + 1):  # the first one fills the file cache and is not counted
        with puna_server(folder / f"startup-{number}") as server:
            seconds.append(server.started_after_s)
            time.sleep(SETTLE_S)
            megabytes.append(_resident_mb(server.pid))
    return Startup(statistics.median(seconds[1:]), statistics.median(megabytes[1:]))


def _resident_mb(pid: int) -> float:
    process = psutil.Process(pid)
    return float(sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))) / 1e6
