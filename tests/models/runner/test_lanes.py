"""Preparations move from lane to lane."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from models.runner.lanes import Lane, Lanes, Preparation, Steps, run_through

Inbox = queue.SimpleQueue[Preparation]


@pytest.fixture
def inbox() -> Inbox:
    return queue.SimpleQueue()


@pytest.fixture
def lanes(inbox: Inbox) -> Lanes:
    return Lanes(inbox.put)


def through(*lanes: Lane, seen: list[str]) -> Steps[Callable[[], None]]:
    for lane in lanes:
        yield lane
        seen.append(threading.current_thread().name)
    return lambda: seen.append("finished")


def blocked(lane: Lane, go: threading.Event, begun: Callable[[], object]) -> Steps[Callable[[], None]]:
    yield lane
    begun()
    assert go.wait(10)
    return lambda: None


def start(lanes: Lanes, request_id: int, steps: Steps[Callable[[], None]]) -> Preparation:
    preparation = Preparation(request_id, steps)
    lane = preparation.advance()
    assert lane is not None
    lanes.put(lane, preparation)
    return preparation


def test_each_part_is_done_in_its_lane_and_the_end_where_it_is_called(lanes: Lanes, inbox: Inbox) -> None:
    seen: list[str] = []
    started = start(lanes, 1, through(Lane.READING, Lane.COMPILING, Lane.PERSISTING, seen=seen))
    assert inbox.get(timeout=10) is started
    assert seen == ["reading", "compiling", "persisting"]
    started.finish()
    assert seen[-1] == "finished"


@pytest.mark.parametrize(
    ("lane", "n"), [(Lane.READING, 1), (Lane.COMPILING, 1), (Lane.TRYING, 2), (Lane.PERSISTING, 1)]
)
def test_so_many_are_at_work_in_a_lane_and_the_others_wait_in_order(
    lanes: Lanes, inbox: Inbox, lane: Lane, n: int
) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)
    for i in range(n):
        start(lanes, i, blocked(lane, go, begun.release))
        assert begun.acquire(timeout=10)
    seen: list[str] = []
    for i in range(n, n + 3):
        start(lanes, i, through(lane, seen=seen))
    others = [other for other in Lane if other is not lane]
    start(lanes, 100, through(*others, seen=[]))
    assert inbox.get(timeout=10).request_id == 100  # no other lane waits for this one
    assert inbox.empty() and seen == []
    go.set()
    assert {inbox.get(timeout=10).request_id for _ in range(n + 3)} == set(range(n + 3))


def test_what_is_cancelled_is_dropped(lanes: Lanes, inbox: Inbox) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)
    start(lanes, 1, blocked(Lane.READING, go, begun.release))
    assert begun.acquire(timeout=10)
    seen: list[str] = []
    start(lanes, 2, through(Lane.READING, seen=seen)).is_cancelled = True
    start(lanes, 3, through(Lane.READING, seen=seen))
    go.set()
    assert [inbox.get(timeout=10).request_id for _ in range(2)] == [1, 3]
    assert seen == ["reading"]


def test_all_parts_can_be_done_in_one_place() -> None:
    seen: list[str] = []
    run_through(through(*Lane, seen=seen))()
    assert seen == [threading.current_thread().name] * len(Lane) + ["finished"]
