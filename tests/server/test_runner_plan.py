"""Which runner serves, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from server.placement import Devices, Need
from server.runner_plan import Evict, Load, Reuse, RunnerState, Trim, Wait, plan
from tests.server.scheduler_case import config

GIB = 1024**3
DEVICES = Devices(host_free_bytes=8 * GIB)
SMALL = Need(weights_bytes=GIB, cache_bytes=0)
SECOND_NS = 1_000_000_000


def state(
    key: str, *, leases: int = 0, keep_s: int = 300, leaving: bool = False, lacks: int = 0, idle: bool = False,
    **changes: Any,
) -> RunnerState:  # fmt: skip
    return RunnerState(key, config(key, **changes), leases, keep_s * SECOND_NS, leaving, lacks, idle)


@pytest.mark.parametrize(
    ("runners", "need", "max_runners", "decision"),
    [
        pytest.param([], SMALL, 3, Load(-1), id="nothing is loaded"),
        pytest.param([state("a")], SMALL, 3, Reuse("a"), id="loaded and fits"),
        pytest.param([state("a", leases=7)], SMALL, 3, Reuse("a"), id="a busy runner takes more requests"),
        pytest.param([state("a", n_ctx=512)], SMALL, 3, Evict("a"), id="other context: reload"),
        pytest.param([state("a", n_ctx=512, leases=1)], SMALL, 3, Evict("a"), id="reload waits for the requests"),
        pytest.param([state("a", n_gpu_layers=3)], SMALL, 3, Reuse("a"), id="automatic layers never differ"),
        pytest.param([state("a", leaving=True)], SMALL, 3, Wait(), id="the one that fits is leaving"),
        pytest.param([state("b")], SMALL, 3, Load(-1), id="room for another"),
        pytest.param([state("b", leaving=True)], SMALL, 1, Wait(), id="room is being made"),
        pytest.param([state("b"), state("c", keep_s=60)], SMALL, 2, Evict("c"), id="smallest keep-alive goes"),
        pytest.param([state("c"), state("b")], SMALL, 2, Evict("b"), id="ties: by path"),
        pytest.param([state("b", leases=1, keep_s=1), state("c")], SMALL, 2, Evict("c"), id="idle before busy"),
        pytest.param([state("b", leases=1)], SMALL, 1, Evict("b"), id="all busy: that one is waited for"),
        pytest.param([state("b")], Need(9 * GIB, 0), 3, Evict("b"), id="memory, not the count"),
        pytest.param([], Need(9 * GIB, 0), 3, Load(-1), id="alone it may try even if it looks too large"),
        pytest.param([state("a", adapters=("x",))], SMALL, 3, Reuse("a"), id="adapters are no reason to reload"),
        pytest.param([state("b", idle=True)], SMALL, 3, Load(-1), id="idle adapters are in nobody's way"),
        pytest.param([state("b", idle=True)], Need(9 * GIB, 0), 3, Trim("b"), id="they go before a runner does"),
        pytest.param([state("b", idle=True)], SMALL, 1, Evict("b"), id="but that makes room for no further runner"),
        pytest.param([state("a", lacks=GIB), state("b", idle=True)], SMALL, 3, Reuse("a"), id="room for an adapter"),
        pytest.param([state("a", lacks=9 * GIB), state("b", idle=True)], SMALL, 3, Trim("b"), id="no room for one"),
        pytest.param([state("a", lacks=9 * GIB), state("b")], SMALL, 3, Reuse("a"), id="no room: it may try"),
    ],
)
def test_plan(runners: list[RunnerState], need: Need, max_runners: int, decision: object) -> None:
    assert plan("a", config("a"), need, runners, DEVICES, max_runners=max_runners) == decision
